//! The rules that decisions rest on, by name, so that a test can break one of them at a time and see
//! that it is missed: the explorer under `tests/explorer` must find every broken rule.
//!
//! [`kept`] stands beside the one line of code that a rule is. Without the test-only feature
//! `seeded-bugs` it is always true and leaves nothing behind in the program.

/// A rule that can be broken on purpose.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Rule {
    SuspendedMeansNoCalls,
    SuspendedIsReadyOnlyWhereItMatches,
    AnotherAccountsObjectIsLeftAlone,
    OnlyTheOwnerManages,
    StaleNewsMakeNobodyReady,
    NothingIsSentWhileDeleting,
    NothingIsSentWhileUpdating,
    UnconfirmedUpdatesAreWaitedOut,
    StartupIsWaitedOut,
    OldNewsMakeNobodyReady,
    RemoteErrorsAreReported,
    ObserveSendsNothing,
    VerdictsStand,
    TriesAreCounted,
    FightsSlowDown,
    TheLastAdminStays,
    AdminsAreCountedByList,
    DemotionsGoOneByOne,
    FormerDemotionsAreWaitedOut,
    ObjectsAreReadAgain,
    OnlyWhatDiffersIsSent,
    LeavingCustomClearsThePreset,
    DisplayNamesAreCompared,
    PresetsAreCompared,
    PresetsCountOnlyWithCustom,
    StatusTellsItsGeneration,
    ReadyStandsAlone,
    UnconfirmedIsNotReady,
    ReasonsAreOfOneGeneration,
    VerdictsEndWithTheKey,
    VerdictsEndWithTheUser,
    NewerWins,
    ReplicasLag,
    SettleWindowsAreWaitedOut,
    UnconfirmedUpdatesAreRecorded,
    OtherBodiesStayAmbiguous,
    AbsenceIsConfirmed,
    UnconfirmedDemotionsCount,
    NewsAreAnnounced,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 39] = [
        Self::SuspendedMeansNoCalls,
        Self::SuspendedIsReadyOnlyWhereItMatches,
        Self::AnotherAccountsObjectIsLeftAlone,
        Self::OnlyTheOwnerManages,
        Self::StaleNewsMakeNobodyReady,
        Self::NothingIsSentWhileDeleting,
        Self::NothingIsSentWhileUpdating,
        Self::UnconfirmedUpdatesAreWaitedOut,
        Self::StartupIsWaitedOut,
        Self::OldNewsMakeNobodyReady,
        Self::RemoteErrorsAreReported,
        Self::ObserveSendsNothing,
        Self::VerdictsStand,
        Self::TriesAreCounted,
        Self::FightsSlowDown,
        Self::TheLastAdminStays,
        Self::AdminsAreCountedByList,
        Self::DemotionsGoOneByOne,
        Self::FormerDemotionsAreWaitedOut,
        Self::ObjectsAreReadAgain,
        Self::OnlyWhatDiffersIsSent,
        Self::LeavingCustomClearsThePreset,
        Self::DisplayNamesAreCompared,
        Self::PresetsAreCompared,
        Self::PresetsCountOnlyWithCustom,
        Self::StatusTellsItsGeneration,
        Self::ReadyStandsAlone,
        Self::UnconfirmedIsNotReady,
        Self::ReasonsAreOfOneGeneration,
        Self::VerdictsEndWithTheKey,
        Self::VerdictsEndWithTheUser,
        Self::NewerWins,
        Self::ReplicasLag,
        Self::SettleWindowsAreWaitedOut,
        Self::UnconfirmedUpdatesAreRecorded,
        Self::OtherBodiesStayAmbiguous,
        Self::AbsenceIsConfirmed,
        Self::UnconfirmedDemotionsCount,
        Self::NewsAreAnnounced,
    ];
}

#[cfg(feature = "seeded-bugs")]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Breaks one rule for this thread, or keeps them all again.
#[cfg(feature = "seeded-bugs")]
pub fn break_rule(rule: Option<Rule>) {
    BROKEN.set(rule);
}

/// Whether the rule is kept.
#[cfg(feature = "seeded-bugs")]
#[must_use]
pub fn kept(rule: Rule) -> bool {
    BROKEN.get() != Some(rule)
}

/// Whether the rule is kept.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
#[must_use]
pub const fn kept(_: Rule) -> bool {
    true
}
