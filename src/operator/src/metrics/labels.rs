//! The values of labels, each a closed set. The page on operation lists the same values; a test compares it with a scrape.

/// Defines an enum whose values are those of a label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[expect(missing_docs, reason = "the values are the documentation")]
        pub enum $name {
            $($variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the value as a scrape shows it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }
        }
    };
}

label! {
    /// The label `verb` of requests to the remote side.
    Verb {
        List = "list",
        Get = "get",
        Patch = "patch",
    }
}

label! {
    /// The label `outcome` of requests to the remote side.
    CallOutcome {
        Ok = "ok",
        Transient = "transient",
        Throttled = "throttled",
        AccountSuspended = "account_suspended",
        Rejected = "rejected",
        Denied = "denied",
        Unauthenticated = "unauthenticated",
        NotFound = "not_found",
        Malformed = "malformed",
    }
}

label! {
    /// The label `result` of reconciliations.
    PassOutcome {
        Unchanged = "unchanged",
        Written = "written",
        Superseded = "superseded",
        NotWritten = "not_written",
        Disputed = "disputed",
    }
}

label! {
    /// The label `class` of requests that wait for a permit.
    Class {
        Owed = "owed",
        SpecChange = "spec_change",
        DriftRepair = "drift_repair",
        AbsenceCheck = "absence_check",
        Sweep = "sweep",
    }
}

label! {
    /// The label `cache` of entries kept in memory.
    Held {
        Claim = "claim",
        Object = "object",
        RepairedUser = "repaired_user",
        User = "user",
        DeclaredUser = "declared_user",
        MissingUser = "missing_user",
        UnclearChange = "unclear_change",
        WantedRead = "wanted_read",
    }
}
