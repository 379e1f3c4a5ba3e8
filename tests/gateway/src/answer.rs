//! Answers as values: google.rpc codes, refusals and what goes back over HTTP. No sockets and no account here.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::{delivery::Delivery, settings::ErrorShape};

/// The google.rpc codes that are errors, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are google.rpc's own")]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// The names of the codes, each at the index that is its number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The HTTP status that goes with a google.rpc code number; 500 for a number that is none.
#[must_use]
pub fn http_status(code: i64) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// Why the gateway refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The google.rpc code.
    pub code: Code,
    /// Text for a developer.
    pub message: String,
}

impl Refusal {
    /// A refusal with any code.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// `INVALID_ARGUMENT` with this message.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// `NOT_FOUND` with this message.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }
}

/// What goes back over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Value of `content-type`; empty: the header is left out.
    pub content_type: Cow<'static, str>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// How they travel.
    pub delivery: Delivery,
}

impl Answer {
    /// JSON with any status.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: Cow::Borrowed("application/json"),
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
            delivery: Delivery::Whole,
        }
    }

    /// A page as a proxy in front of the gateway writes it.
    #[must_use]
    pub fn html(status: u16, title: &str) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1>\
             </center>\r\n</body>\r\n</html>\r\n"
        );
        Self {
            status,
            content_type: Cow::Borrowed("text/html"),
            headers: Vec::new(),
            body: body.into_bytes(),
            delivery: Delivery::Whole,
        }
    }

    /// Anything at all; an empty content type is left out.
    #[must_use]
    pub fn raw(status: u16, content_type: String, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: Cow::Owned(content_type),
            headers: Vec::new(),
            body,
            delivery: Delivery::Whole,
        }
    }

    /// A google.rpc error body with any number and any HTTP status.
    #[must_use]
    pub fn error(status: u16, code: i64, message: &str, shape: ErrorShape) -> Self {
        let name = usize::try_from(code)
            .ok()
            .and_then(|index| NAMES.get(index));
        let code = match (shape, name) {
            (ErrorShape::Named | ErrorShape::WrappedNamed, Some(name)) => json!(name),
            _ => json!(code),
        };
        let body = json!({"code": code, "message": message, "details": []});
        match shape {
            ErrorShape::Plain | ErrorShape::Named => Self::json(status, &body),
            ErrorShape::Wrapped | ErrorShape::WrappedNamed => {
                Self::json(status, &json!({ "error": body }))
            }
        }
    }

    /// The refusal in this shape, under the HTTP status of its code.
    #[must_use]
    pub fn refusal(refusal: &Refusal, shape: ErrorShape) -> Self {
        let code = refusal.code as i64;
        Self::error(http_status(code), code, &refusal.message, shape)
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_code_has_the_http_status_of_the_gateways_table() {
        let statuses: Vec<u16> = (0..=17).map(http_status).collect();
        assert_eq!(
            statuses,
            [
                200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500,
                401, 500
            ]
        );
    }

    #[test]
    fn every_shape_holds_the_same_refusal() {
        let refusal = Refusal::not_found("user \"bob\" not found");
        let plain: Value =
            serde_json::from_slice(&Answer::refusal(&refusal, ErrorShape::Plain).body).unwrap();
        let wrapped: Value =
            serde_json::from_slice(&Answer::refusal(&refusal, ErrorShape::Wrapped).body).unwrap();
        assert_eq!(plain["code"], 5);
        assert_eq!(wrapped, json!({ "error": plain }));
        let named: Value =
            serde_json::from_slice(&Answer::refusal(&refusal, ErrorShape::Named).body).unwrap();
        assert_eq!(named["code"], "NOT_FOUND");
        assert_eq!(named["message"], plain["message"]);
    }
}
