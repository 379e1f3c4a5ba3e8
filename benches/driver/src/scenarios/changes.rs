//! Many changes at once that nothing holds up: what each costs.

use fireworks_gateway_simulator::User;
use serde_json::json;

use super::standing::Standing;
use crate::broken::Sound;
use crate::figures::{Figures, Must, whole};
use crate::load;
use crate::world::{CONVERGED, Operator};

/// Few enough that none of them waits for 5 s at 6,000 calls a minute.
const CHANGED: usize = 500;
const RUNS: usize = 3;

/// What some changes came to.
#[derive(Default)]
struct Cost {
    patches: Vec<f64>,
    status: Vec<f64>,
    events: Vec<f64>,
    cpu: Vec<f64>,
}

/// Specs that change, and users that drift.
pub(crate) async fn measure(
    standing: &Standing<'_>,
    users: &[User],
    figures: &mut Figures,
) -> Sound<()> {
    let names: Vec<String> = users
        .iter()
        .take(CHANGED)
        .map(|user| user.id.clone())
        .collect();
    let operator = standing
        .start(&["--sweep-interval", "1s", "--requests-per-minute", "6000"])
        .await?;
    operator.until_ready().await?;
    figures.about(format!("{CHANGED} specs changed at once"));
    let mut cost = Cost::default();
    for run in 0..RUNS {
        let text = format!("Changed {run}");
        let changing = load::rename_all(&standing.world.rest, standing.namespace, &names, &text);
        cost.measure(standing, &operator, changing).await?;
    }
    cost.tell("a change", 1.0, figures);
    figures.about(format!("{CHANGED} users drifted at once"));
    let mut cost = Cost::default();
    for run in 0..RUNS {
        let drifted = json!({"displayName": format!("Drifted {run}")});
        let edits = names.iter().map(|name| (name.clone(), drifted.clone()));
        let drifting = standing.gateway.edit_all(edits.collect());
        cost.measure(standing, &operator, drifting).await?;
    }
    cost.tell("a repair", 2.0, figures);
    operator.stop().await
}

impl Cost {
    async fn measure(
        &mut self,
        standing: &Standing<'_>,
        operator: &Operator,
        happens: impl Future<Output = Sound<()>>,
    ) -> Sound<()> {
        let before = operator.metric(CONVERGED).await?;
        let (seq, mark) = (standing.gateway.last_seq().await?, standing.world.mark()?);
        let cpu = operator.taken()?.cpu;
        happens.await?;
        operator
            .until_metric_seldom(CONVERGED, before + whole(CHANGED))
            .await?;
        self.cpu.push(operator.taken()?.cpu - cpu);
        let (status, events) = standing.world.writes_since(mark, standing.namespace)?;
        self.patches
            .push(whole(standing.gateway.patches_since(seq).await?.len()));
        self.status.push(whole(status));
        self.events.push(whole(events));
        Ok(())
    }

    fn tell(self, one: &str, events: f64, figures: &mut Figures) {
        let each = |counts: Vec<f64>| counts.iter().map(|count| count / whole(CHANGED)).collect();
        figures.add(
            format!("{one}: PATCHes"),
            "",
            Must::Be(1.0),
            each(self.patches),
        );
        figures.add(
            format!("{one}: status writes"),
            "",
            Must::Be(1.0),
            each(self.status),
        );
        figures.add(
            format!("{one}: Events"),
            "",
            Must::AtMost(events),
            each(self.events),
        );
        let thousand = self.cpu.iter().map(|cpu| cpu / whole(CHANGED) * 1000.0);
        figures.add(
            format!("{one}: CPU per 1,000"),
            "s",
            Must::AtMost(0.6),
            thousand.collect(),
        );
    }
}
