//! What goes into the machine and what comes out of it.

use std::time::Duration;

use fireworks_crd::conditions::Reason;

use crate::account::updates::Answer;
use crate::user::desired::Diff;
use crate::user::events::EventDraft;
use crate::user::plan::Update;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The reconciliation begins.
    Begin {
        /// Every watched namespace is synced: no claim is unknown.
        all_synced: bool,
    },
    /// The object was read again.
    ObjectRead(ObjectRead),
    /// The update was answered, or failed.
    UpdateEnded(Answer),
    /// The status write ended.
    StatusWritten(WriteOutcome),
    /// The driver was cut off: there is no outcome of the last effect.
    Abandoned,
}

/// What the API server holds in place of the object that was planned for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ObjectRead {
    /// The same object, of the same generation.
    Same,
    /// A newer object, or the same one about to be deleted: it is reconciled on its own.
    Newer,
    /// None of that name.
    NotFound,
    /// The operator has not the right to read it.
    Refused,
    /// The API server did not answer in time, or with an error.
    Unavailable,
}

/// How a status write ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WriteOutcome {
    /// Written; the version it made.
    Written(Option<String>),
    /// The object moved on or is gone: the watch delivers what there is.
    Superseded,
    /// The API server did not accept it.
    NotWritten,
}

/// What to do next.
#[derive(Debug)]
pub enum Effect {
    /// Read the object again.
    ReadObject,
    /// Send the update, whose permit is spent.
    Update(Box<Sent>),
    /// Write the status.
    WriteStatus(StatusWrite),
    /// The reconciliation has ended.
    Finish(Finish),
}

/// An update to be sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The update.
    pub update: Update,
    /// 1 for the first try.
    pub attempt: u32,
}

/// A status to be written over another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusWrite {
    /// The resourceVersion that the write is based on.
    pub version: String,
    /// The status as it is, as JSON.
    pub found: String,
    /// The status to be, as JSON.
    pub wanted: String,
}

/// The end of a reconciliation.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// When to reconcile again, if nothing triggers it before.
    pub requeue: Option<Duration>,
    /// What was reported, if something was.
    pub report: Option<Reported>,
    /// The Events to publish.
    pub events: Vec<EventDraft>,
}

/// What status reports at the end of a reconciliation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reported {
    /// The reason of `Ready`.
    pub reason: Reason,
    /// Whether it was written.
    pub outcome: ReportOutcome,
    /// The fields that were updated.
    pub updated: Option<Diff>,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReportOutcome {
    /// Status reports it already.
    Unchanged,
    /// Written.
    Written,
    /// The object moved on or is gone.
    Superseded,
    /// The API server did not accept it.
    NotWritten,
    /// Another writer keeps changing this status.
    Disputed,
}
