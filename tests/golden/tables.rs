//! The tables, as text for people, and the code that reads them. Nothing of the program is used here but the names of
//! its classes.

use fireworks_api::error::Kind;

/// The google.rpc codes: number, name, the HTTP status that goes with it, and the class. 0 is no word at all: the HTTP
/// status decides.
const CODES: &str = "
     0  OK                   200  -
     1  CANCELLED            499  Transient
     2  UNKNOWN              500  Transient
     3  INVALID_ARGUMENT     400  Rejected
     4  DEADLINE_EXCEEDED    504  Transient
     5  NOT_FOUND            404  NotFound
     6  ALREADY_EXISTS       409  Rejected
     7  PERMISSION_DENIED    403  Denied
     8  RESOURCE_EXHAUSTED   429  Throttled
     9  FAILED_PRECONDITION  400  Rejected
    10  ABORTED              409  Transient
    11  OUT_OF_RANGE         400  Rejected
    12  UNIMPLEMENTED        501  Rejected
    13  INTERNAL             500  Transient
    14  UNAVAILABLE          503  Transient
    15  DATA_LOSS            500  Transient
    16  UNAUTHENTICATED      401  Unauthenticated
";

/// The HTTP statuses: the class where the body has no code. A 403 or 404 without a code may come from any proxy. 402 and 412
/// decide whatever the body holds.
const STATUSES: &str = "
    200  Malformed
    201  Malformed
    301  Malformed
    302  Malformed
    307  Malformed
    308  Malformed
    400  Rejected
    401  Unauthenticated
    402  AccountSuspended
    403  Malformed
    404  Malformed
    405  Rejected
    408  Transient
    409  Transient
    410  Rejected
    412  AccountSuspended
    415  Rejected
    418  Rejected
    422  Rejected
    429  Throttled
    499  Transient
    500  Transient
    501  Rejected
    502  Transient
    503  Transient
    504  Transient
    520  Transient
    599  Transient
";

/// What an answer of a class means for an object with work pending: `Ready`, the condition beside it and the reason,
/// which is the same word in condition, Event and metric. The last column is the reason where a read was answered so.
const CLASSES: &str = "
    Transient        Unknown  Reconciling  RemoteUnavailable  RemoteUnavailable
    Throttled        Unknown  Reconciling  Throttled          Throttled
    AccountSuspended Unknown  Reconciling  AccountSuspended   AccountSuspended
    Rejected         False    Stalled      Rejected           ReadRefused
    Denied           False    Stalled      PermissionDenied   ReadRefused
    Unauthenticated  False    Reconciling  Unauthenticated    Unauthenticated
    NotFound         Unknown  Reconciling  RemoteUnavailable  RemoteUnavailable
    Malformed        Unknown  Reconciling  MalformedResponse  MalformedResponse
";

/// A google.rpc code.
pub struct Code {
    pub number: i64,
    pub name: &'static str,
    /// The HTTP status that goes with it.
    pub http: u16,
    /// `None`: it does not decide.
    pub class: Option<Kind>,
}

/// What a class means for an object with work pending.
pub struct Meaning {
    pub class: Kind,
    pub ready: &'static str,
    pub beside: &'static str,
    pub reason: &'static str,
    /// The reason where a read was answered so.
    pub read_reason: &'static str,
}

pub fn class(word: &str) -> Kind {
    match word {
        "Transient" => Kind::Transient,
        "Throttled" => Kind::Throttled,
        "AccountSuspended" => Kind::AccountSuspended,
        "Rejected" => Kind::Rejected,
        "Denied" => Kind::Denied,
        "Unauthenticated" => Kind::Unauthenticated,
        "NotFound" => Kind::NotFound,
        "Malformed" => Kind::Malformed,
        other => panic!("no class {other}"),
    }
}

fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        <[&str; N]>::try_from(words).expect("a whole row")
    })
}

/// All 17 codes.
pub fn codes() -> Vec<Code> {
    let code = |[number, name, http, word]: [&'static str; 4]| Code {
        number: number.parse().unwrap(),
        name,
        http: http.parse().unwrap(),
        class: (word != "-").then(|| class(word)),
    };
    rows(CODES).map(code).collect()
}

/// All statuses with their class where the body has no code.
pub fn statuses() -> Vec<(u16, Kind)> {
    let status = |[http, word]: [&'static str; 2]| (http.parse().unwrap(), class(word));
    rows(STATUSES).map(status).collect()
}

/// The class of that status where the body has no code.
pub fn class_of_status(http: u16) -> Kind {
    let found = statuses().into_iter().find(|(status, _)| *status == http);
    found.expect("a status of the table").1
}

/// All classes with what they mean.
pub fn meanings() -> Vec<Meaning> {
    let meaning = |[word, ready, beside, reason, read_reason]: [&'static str; 5]| Meaning {
        class: class(word),
        ready,
        beside,
        reason,
        read_reason,
    };
    rows(CLASSES).map(meaning).collect()
}

#[test]
fn the_tables_are_whole() {
    let numbers: Vec<_> = codes().iter().map(|code| code.number).collect();
    assert_eq!(numbers, (0..=16).collect::<Vec<_>>());
    for code in codes() {
        class_of_status(code.http);
    }
    assert_eq!(meanings().len(), 8);
}
