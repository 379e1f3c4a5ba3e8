//! The users API of the Fireworks gateway as data: ids, users, patches, what an answer decodes to, and which class an error
//! is of. Knows HTTP's vocabulary; makes no request, and knows neither Kubernetes nor the operator.

pub mod email;
pub mod error;
pub mod text;
pub mod wire;
