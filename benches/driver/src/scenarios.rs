//! What is measured, one file a scenario. Each starts what it needs, measures, and leaves all objects in sync behind.

pub(crate) mod changes;
pub(crate) mod latency;
pub(crate) mod peer;
pub(crate) mod queue;
pub(crate) mod scarce;
pub(crate) mod standing;
pub(crate) mod take_over;
pub(crate) mod writes;
