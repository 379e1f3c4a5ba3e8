//! Statuses can be compared and hashed: the types of Kubernetes that they are made of cannot.

use std::hash::{Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::FireworksUserStatus;

impl Eq for FireworksUserStatus {}

impl Hash for FireworksUserStatus {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            observed_generation,
            name,
            user_id,
            state,
            status,
            role,
            permission_preset,
            guard,
            claim,
            drift,
            create_time,
            update_time,
            conditions,
        } = self;
        (observed_generation, name, user_id, state, status).hash(hasher);
        (role, permission_preset, guard, claim, drift).hash(hasher);
        (create_time, update_time).hash(hasher);
        for condition in conditions {
            let Condition {
                last_transition_time,
                message,
                observed_generation,
                reason,
                status,
                type_,
            } = condition;
            (type_, status, reason, message).hash(hasher);
            (observed_generation, last_transition_time.0).hash(hasher);
        }
    }
}
