//! Which scenarios run, in which order, and which beside each other: those that take long and little beside those that
//! do not mind. Measures nothing itself.

use std::cell::Cell;
use std::time::Duration;

use clap::ValueEnum;
use fireworks_gateway_simulator::{Settings, Simulator, User};
use tokio::sync::watch;

use crate::broken::Sound;
use crate::figures::{Figures, Must};
use crate::scenarios::latency::{self, Rest};
use crate::scenarios::standing::{Promise, Standing};
use crate::scenarios::{changes, peer, queue, scarce, take_over, writes};
use crate::world::World;

const NAMESPACE: &str = "bench";
/// Declared of a large account.
const FEW: usize = 10;

/// One scenario, to be asked for by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Scenario {
    /// Nothing to do with 0 to 10,000 objects: starts, sweeps, memory
    Standing,
    /// An edit at rest with 10 to 10,000 objects
    Latency,
    /// A fresh installation with 1,000 objects, and a hand-over between two replicas with 10,000
    TakeOver,
    /// Many changes and many repairs that nothing holds up
    Changes,
    /// Three ways of writing a status
    Writes,
    /// Beside the naive baseline
    Peer,
    /// Sweeps of 10 users of 10,000, and one of 10,000
    Sweeps,
    /// An edit while repairs wait
    Drift,
    /// An edit while another namespace's changes wait
    Neighbour,
    /// 10,000 changes with the whole limit of the account
    Rollout,
    /// 50,000 objects
    Large,
    /// An account whose limit others use up
    Crowded,
    /// An account of ten calls a minute
    Slow,
}

impl Scenario {
    /// Of more than 1,000 objects, or of more than a few minutes.
    fn is_long(self) -> bool {
        !matches!(
            self,
            Self::Standing | Self::Latency | Self::Changes | Self::Peer | Self::Writes
        )
    }
}

/// The whole of it.
pub(crate) struct Schedule<'a> {
    world: &'a World,
    quick: bool,
    only: Vec<Scenario>,
    /// The same users whatever their number.
    people: Vec<User>,
}

/// Where most scenarios take place: one account and one namespace, with more and more objects.
struct Stage<'a> {
    standing: Standing<'a>,
    people: &'a [User],
    /// So many of them are there.
    there: Cell<usize>,
}

impl Stage<'_> {
    /// Lets so many objects be there, if there are fewer.
    async fn reach(&self, objects: usize) -> Sound<&[User]> {
        if let Some(new) = self.people.get(self.there.get()..objects)
            && !new.is_empty()
        {
            self.standing.grow(new).await?;
            self.there.set(objects);
        }
        Ok(&self.people[..objects])
    }
}

impl<'a> Schedule<'a> {
    /// Everything, or the short run, or these scenarios.
    pub(crate) fn new(world: &'a World, quick: bool, only: Vec<Scenario>) -> Sound<Self> {
        let large = !quick && (only.is_empty() || only.contains(&Scenario::Large));
        let settings = Settings {
            users: if large { 50_000 } else { 10_100 },
            ..Settings::default()
        };
        Ok(Self {
            world,
            quick,
            only,
            people: Simulator::start(settings)?.users(),
        })
    }

    fn includes(&self, scenario: Scenario) -> bool {
        if self.only.is_empty() {
            !(self.quick && scenario.is_long())
        } else {
            self.only.contains(&scenario)
        }
    }

    /// All of it; what takes longest goes on beside all others.
    pub(crate) async fn run(&self, figures: &mut Figures) -> Sound<()> {
        let (over, ended) = watch::channel(false);
        let mut aside = Figures::aside();
        let main = async {
            self.scenarios(figures).await?;
            over.send_replace(true);
            Sound::Ok(())
        };
        let slow = async {
            if self.includes(Scenario::Slow) {
                scarce::slow(self.world, &self.people[..260], ended, &mut aside).await?;
            }
            Sound::Ok(())
        };
        tokio::try_join!(main, slow)?;
        figures.take_in(aside);
        Ok(())
    }

    async fn scenarios(&self, figures: &mut Figures) -> Sound<()> {
        let gateway = self.world.account(0, &[]).await?;
        self.world.namespace(NAMESPACE).await?;
        let stage = Stage {
            standing: Standing {
                world: self.world,
                gateway: &gateway,
                namespace: NAMESPACE,
            },
            people: &self.people,
            there: Cell::new(0),
        };
        // The median of an edit with ten objects.
        let with_ten = Cell::new(f64::NAN);
        self.up_to_a_thousand(&stage, &with_ten, figures).await?;
        if self.includes(Scenario::Writes) {
            writes::measure(self.world, &self.people[..1_000], figures).await?;
        }
        if self.includes(Scenario::Sweeps) {
            stage.reach(10_000).await?;
        }
        let mut aside = Figures::aside();
        let peer = async {
            if self.includes(Scenario::Peer) {
                peer::measure(self.world, &self.people[..1_000], figures).await?;
            }
            Sound::Ok(())
        };
        let sweeps = async {
            if self.includes(Scenario::Sweeps) {
                self.sweeps(&stage, &mut aside).await?;
            }
            Sound::Ok(())
        };
        // Both mostly wait for the next minute.
        tokio::try_join!(peer, sweeps)?;
        figures.take_in(aside);
        self.ten_thousand(&stage, &with_ten, figures).await?;
        let mut aside = Figures::aside();
        let crowded = async {
            if self.includes(Scenario::Crowded) {
                scarce::crowded(self.world, &self.people[..1_000], &mut aside).await?;
            }
            Sound::Ok(())
        };
        tokio::try_join!(crowded, self.queues(&stage, figures))?;
        figures.take_in(aside);
        Ok(())
    }

    async fn up_to_a_thousand(
        &self,
        stage: &Stage<'_>,
        with_ten: &Cell<f64>,
        figures: &mut Figures,
    ) -> Sound<()> {
        let promises = [
            promise(0, Some(12.0), 0, 0),
            promise(10, None, 1, 20),
            promise(1_000, Some(14.0), 5, 3),
        ];
        for promise in promises {
            let objects = promise.objects;
            if self.includes(Scenario::Standing) {
                stage.reach(objects).await?;
                stage.standing.measure(&promise, figures).await?;
            }
            if self.includes(Scenario::Latency) && objects > 0 {
                let users = stage.reach(objects).await?;
                let rest = edits(objects, 8);
                let median = latency::measure(&stage.standing, users, &rest, figures).await?;
                if objects == FEW {
                    with_ten.set(median);
                }
            }
        }
        if self.includes(Scenario::Changes) {
            let users = stage.reach(1_000).await?;
            changes::measure(&stage.standing, users, figures).await?;
        }
        Ok(())
    }

    async fn ten_thousand(
        &self,
        stage: &Stage<'_>,
        with_ten: &Cell<f64>,
        figures: &mut Figures,
    ) -> Sound<()> {
        if self.quick {
            return Ok(());
        }
        if self.includes(Scenario::Standing) {
            stage.reach(10_000).await?;
            let promised = Promise {
                start: Some(3.0),
                ..promise(10_000, Some(32.0), 50, 0)
            };
            stage.standing.measure(&promised, figures).await?;
        }
        if self.includes(Scenario::TakeOver) {
            take_over::fresh(self.world, &self.people[..1_000], figures).await?;
            let users = stage.reach(10_000).await?;
            take_over::hand_over(&stage.standing, users, figures).await?;
        }
        if self.includes(Scenario::Latency) {
            let users = stage.reach(10_000).await?;
            // Long enough to meet a sweep, which comes every 100 s.
            let rest = edits(10_000, 37);
            let many = latency::measure(&stage.standing, users, &rest, figures).await?;
            let flat = vec![many / with_ten.get()];
            let name = "the median with 10,000 objects, of that with 10";
            figures.add(name, "", Must::AtMost(1.5), flat);
        }
        Ok(())
    }

    /// Ten users of an account of ten thousand are read one by one; ten thousand are listed.
    async fn sweeps(&self, stage: &Stage<'_>, figures: &mut Figures) -> Sound<()> {
        let gateway = self.world.account(10_000, &[]).await?;
        let namespace = "few";
        self.world.namespace(namespace).await?;
        let few = Standing {
            world: self.world,
            gateway: &gateway,
            namespace,
        };
        // None of them is on the first page.
        let users = self.people[..10_000].iter().skip(500).step_by(900);
        few.grow(&users.take(FEW).cloned().collect::<Vec<_>>())
            .await?;
        let mut beside = Figures::aside();
        let of_few = async {
            figures.about("Sweeps, 10 objects in an account of 10,000 users");
            few.sweeps(&promise(FEW, None, 10, 3), figures).await
        };
        let of_many = async {
            beside.about("A sweep, 10,000 objects");
            let promise = promise(10_000, None, 50, 1);
            stage.standing.sweeps(&promise, &mut beside).await
        };
        tokio::try_join!(of_few, of_many)?;
        figures.take_in(beside);
        Ok(())
    }

    async fn queues(&self, stage: &Stage<'_>, figures: &mut Figures) -> Sound<()> {
        let standing = &stage.standing;
        if self.includes(Scenario::Drift) {
            let users = stage.reach(10_000).await?;
            queue::behind_drift(standing, users, figures).await?;
        }
        if self.includes(Scenario::Neighbour) {
            let users = stage.reach(10_000).await?;
            // They have no objects yet.
            let neighbours = &self.people[self.people.len() - 10..];
            queue::beside_a_crowd(standing, users, neighbours, figures).await?;
        }
        if self.includes(Scenario::Rollout) {
            let users = stage.reach(10_000).await?;
            queue::roll_out(standing, users, figures).await?;
        }
        if self.includes(Scenario::Large) {
            stage.reach(50_000).await?;
            let promised = Promise {
                hurried: true,
                ..promise(50_000, Some(110.0), 250, 0)
            };
            standing.measure(&promised, figures).await?;
        }
        Ok(())
    }
}

fn promise(objects: usize, rss: Option<f64>, calls: usize, sweeps: usize) -> Promise {
    Promise {
        objects,
        rss,
        calls,
        start: None,
        sweeps,
        runs: 3,
        hurried: false,
    }
}

/// Ten edits a second, for so many seconds in each of three runs.
fn edits(objects: usize, seconds: usize) -> Rest {
    Rest {
        objects,
        edits: seconds * 10,
        every: Duration::from_millis(100),
        runs: 3,
    }
}
