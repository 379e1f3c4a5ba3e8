//! Three ways of writing the same status: what each costs the API server and etcd, and how large it leaves the object.
//! The driver writes, so that nothing of an operator is in the figures; each way has objects of its own.

use fireworks_gateway_simulator::User;
use futures::stream::{self, StreamExt, TryStreamExt};
use rig::Rest;
use serde_json::{Value, json};

use crate::broken::{Broken, Sound, ensure};
use crate::figures::{Figures, Must, median, whole};
use crate::load;
use crate::process;
use crate::world::World;

const RUNS: usize = 3;
/// How often each object is written in a run.
const TIMES: usize = 2;
const MANAGER: &str = "bench";
const WAYS: [Way; 3] = [Way::MergePatch, Way::Apply, Way::Put];

/// How a status is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// What differs.
    MergePatch,
    /// All of it, as server-side apply has it.
    Apply,
    /// All of it, in place of what was there.
    Put,
}

/// Objects whose status is written in one way.
struct Objects<'a> {
    rest: &'a Rest,
    way: Way,
    users: &'a [User],
    /// The newest version of each: every way is guarded by it, as the operator's writes are.
    versions: Vec<String>,
    /// The statuses are the `written`th of these objects.
    written: usize,
    cost: Cost,
}

/// Of each run.
#[derive(Default)]
struct Cost {
    /// Seconds for 1,000 writes.
    api_server: Vec<f64>,
    etcd: Vec<f64>,
}

/// The same writes in each way, one way after the other, again and again.
pub(crate) async fn measure(world: &World, users: &[User], figures: &mut Figures) -> Sound<()> {
    let mut all = Vec::new();
    for way in WAYS {
        all.push(Objects::make(world, way, users).await?);
    }
    for run in 0..RUNS {
        // None of them is always the first.
        all.rotate_left(run.min(1));
        for objects in &mut all {
            objects.run(world).await?;
        }
    }
    figures.about(format!(
        "{} status writes, guarded by a version, in each of {} ways",
        users.len() * TIMES,
        WAYS.len()
    ));
    for way in WAYS {
        let of_way = all.iter_mut().find(|objects| objects.way == way);
        if let Some(objects) = of_way {
            objects.tell(figures).await?;
        }
    }
    Ok(())
}

impl Way {
    fn words(self) -> &'static str {
        match self {
            Self::MergePatch => "merge patch of what differs",
            Self::Apply => "server-side apply",
            Self::Put => "PUT",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::MergePatch => "written-merge",
            Self::Apply => "written-apply",
            Self::Put => "written-put",
        }
    }
}

impl<'a> Objects<'a> {
    /// Objects with a first status.
    async fn make(world: &'a World, way: Way, users: &'a [User]) -> Sound<Self> {
        let namespace = way.namespace();
        world.namespace(namespace).await?;
        load::create(&world.rest, namespace, users).await?;
        let mut new = Self {
            rest: &world.rest,
            way,
            users,
            versions: Vec::new(),
            written: 0,
            cost: Cost::default(),
        };
        for user in users {
            let object = new.get(user).await?;
            new.versions.push(version_of(&object)?);
        }
        new.write_all().await?;
        Ok(new)
    }

    async fn run(&mut self, world: &World) -> Sound<()> {
        let taken = || -> Sound<Vec<f64>> {
            let ids = world.plane.process_ids();
            ids.into_iter()
                .map(|id| Ok(process::taken(id)?.cpu))
                .collect()
        };
        let before = taken()?;
        for _ in 0..TIMES {
            self.write_all().await?;
        }
        let after = taken()?;
        let mut each = before
            .iter()
            .zip(&after)
            .map(|(before, after)| (after - before) / whole(self.users.len() * TIMES) * 1000.0);
        if let (Some(etcd), Some(api_server)) = (each.next(), each.next()) {
            self.cost.etcd.push(etcd);
            self.cost.api_server.push(api_server);
        }
        Ok(())
    }

    /// The next status of each.
    async fn write_all(&mut self) -> Sound<()> {
        let next = self.written + 1;
        let this = &*self;
        let writes = stream::iter(this.users.iter().zip(&this.versions))
            .map(|(user, version)| this.write(user, version, next))
            .buffered(load::AT_ONCE);
        let versions = writes.try_collect().await?;
        self.versions = versions;
        self.written = next;
        Ok(())
    }

    async fn write(&self, user: &User, version: &str, number: usize) -> Sound<String> {
        let path = self.path(user) + "/status";
        let body = self.body(user, version, number);
        let managed = format!("{path}?fieldManager={MANAGER}");
        let sent = match self.way {
            Way::MergePatch => self.rest.send("PATCH", &managed, Some(&body)).await,
            Way::Apply => self.rest.apply(&path, MANAGER, &body).await,
            Way::Put => self.rest.send("PUT", &managed, Some(&body)).await,
        };
        let (status, answer) = sent?;
        ensure(status == 200, || format!("{path}: {answer}"))?;
        version_of(&answer)
    }

    fn body(&self, user: &User, version: &str, number: usize) -> Value {
        let status = status_of(user, number);
        let fields = ["observedGeneration", "updateTime", "conditions"];
        match self.way {
            Way::MergePatch if number > 1 => {
                let changed = fields.map(|field| (field.to_owned(), status[field].clone()));
                let changed: Value = changed.into_iter().collect();
                json!({"metadata": {"resourceVersion": version}, "status": changed})
            }
            Way::MergePatch => json!({"metadata": {"resourceVersion": version}, "status": status}),
            Way::Apply | Way::Put => json!({
                "apiVersion": "iam.fireworks.ai/v1alpha1",
                "kind": "FireworksUser",
                "metadata": {
                    "name": user.id,
                    "namespace": self.way.namespace(),
                    "resourceVersion": version,
                },
                "status": status,
            }),
        }
    }

    async fn tell(&self, figures: &mut Figures) -> Sound<()> {
        let way = self.way.words();
        let mut shown = |what: &str, unit, runs| {
            figures.add(format!("{way}: {what}"), unit, Must::Nothing, runs);
        };
        let (api_server, etcd) = (self.cost.api_server.clone(), self.cost.etcd.clone());
        shown("CPU of the API server per 1,000", "s", api_server);
        shown("CPU of etcd per 1,000", "s", etcd);
        let (mut sent, mut stored) = (Vec::new(), Vec::new());
        for (user, version) in self.users.iter().zip(&self.versions) {
            sent.push(size(&self.body(user, version, self.written)));
            stored.push(size(&self.get(user).await?));
        }
        shown("a request", "bytes", vec![median(&sent)]);
        shown("the object as stored", "bytes", vec![median(&stored)]);
        Ok(())
    }

    async fn get(&self, user: &User) -> Sound<Value> {
        let (status, object) = self.rest.send("GET", &self.path(user), None).await?;
        ensure(status == 200, || format!("GET {}: {object}", user.id))?;
        Ok(object)
    }

    fn path(&self, user: &User) -> String {
        load::object(self.way.namespace(), &user.id)
    }
}

/// The API server stores JSON, `managedFields` and all.
fn size(value: &Value) -> f64 {
    whole(value.to_string().len())
}

fn version_of(object: &Value) -> Sound<String> {
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.ok_or_else(|| Broken::new(format!("no version: {object}")))?;
    Ok(version.to_owned())
}

/// What the operator says of a user in sync, after so many changes.
fn status_of(user: &User, number: usize) -> Value {
    let mut status = json!({
        "observedGeneration": number,
        "name": format!("accounts/acme/users/{}", user.id),
        "userId": user.id,
        "state": "READY",
        "status": {"code": "OK", "message": ""},
        "role": user.role,
        "createTime": "2025-11-03T09:14:22.417Z",
        "updateTime": format!("2025-11-07T17:40:05.{number:03}Z"),
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "InSync",
            "message": "the remote user is as declared",
            "lastTransitionTime": "2025-11-07T17:40:06Z",
            "observedGeneration": number,
        }],
    });
    if !user.permission_preset.is_empty() {
        status["permissionPreset"] = json!(user.permission_preset);
    }
    status
}
