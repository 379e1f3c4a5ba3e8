//! The last admin: who counts as one, hand-overs, and two operators on one account.

use fireworks_gateway_simulator::{Fault, Kind, Verb};

use crate::stage::{Stage, manifest};

/// ada hands the last admin role to dave in one commit. Flux and helm give up at the first Stalled, so the wait for dave's
/// PATCH is never reported as one.
#[tokio::test]
async fn hand_over_of_the_last_admin_never_shows_a_hold() {
    let stage = Stage::set("handover").await;
    stage.user("ada", "admin");
    stage.user("dave", "user");
    let both = |ada: &str, dave: &str| {
        let specs = [("ada", ada), ("dave", dave)];
        specs
            .map(|(name, role)| manifest(name, &format!("{{role: {role}}}")))
            .join("---\n")
    };
    let _operator = stage.operator().await;
    stage.apply_all(&both("admin", "user")).await;
    stage.until_all_ready().await;
    stage
        .gateway
        .add_fault(Fault::new(Kind::Delay { ms: 600 }).on(Verb::Patch).always());
    let mark = stage.mark();
    stage.apply_all(&both("user", "admin")).await;
    stage.until_ready("dave").await;
    stage.until_ready("ada").await;
    assert_eq!(stage.reasons_written(mark, "ada"), ["InSync"]);
    assert_eq!(stage.reasons_written(mark, "dave"), ["InSync"]);
    assert_eq!(stage.gateway.user("ada").unwrap().role, "user");
    assert_eq!(stage.gateway.user("dave").unwrap().role, "admin");
}
