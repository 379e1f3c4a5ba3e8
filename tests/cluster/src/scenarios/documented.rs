//! The pages for those who install it, taken at their word: each way through them is gone with the commands that they
//! print, in their order, and ends where they promise. The node's name server knows the simulator by the name of
//! Fireworks, and the image that the pages name trusts its authority: so not even a setting has to be another one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use fireworks_gateway_simulator::{User, settings::TEST_KEY};
use serde_json::{Value, json};

use super::World;
use super::chart::{helm, words};
use super::disruptions::{pod, pods, restarts};
use super::installed::{DEPLOY, OPERATOR, SYSTEM};
use super::simulator::ACCOUNT;
use super::users::{ready, user};
use crate::failure::{Failure, Result, ensure};
use crate::images::{DOCUMENTED, TAG};
use crate::pages::{self, INSTALL, README, Reader};

/// Of `deploy/samples`: the user at Fireworks, and the role it is given.
const SAMPLES: [(&str, &str); 6] = [
    ("alice", "custom"),
    ("bob", "user"),
    ("carol", "inference-user"),
    ("clara", "contributor"),
    ("dave", "contributor"),
    // Suspended, so it stays as it was.
    ("Erin.Example", "contributor"),
];
/// Those whose role is another one at first.
const CHANGED: usize = 3;
/// The samples that are declared to be looked after, as objects.
const LOOKED_AFTER: [&str; 5] = [
    "fwuser/alice",
    "fwuser/bob",
    "fwuser/carol",
    "fwuser/clara",
    "fwuser/dave",
];

/// `docs/install.md` with helm, from nothing to nothing.
pub(crate) async fn the_page_on_installing_is_right_with_helm(world: &World<'_>) -> Result {
    let mut walk = Walk::begin(world, "helm").await?;
    walk.install_upgrade_and_roll_back("", "").await?;
    walk.take_a_new_key().await?;
    walk.watch_two_namespaces().await?;
    walk.restrict_admin().await?;
    walk.uninstall().await?;
    walk.remove_the_rest().await
}

/// What the last helm 3 has part in; it has another name for one flag.
pub(crate) async fn the_page_on_installing_is_right_with_the_last_helm_3(
    world: &World<'_>,
) -> Result {
    let mut walk = Walk::begin(world, "helm3").await?;
    walk.install_upgrade_and_roll_back("--rollback-on-failure", "--atomic")
        .await?;
    walk.uninstall().await?;
    walk.remove_the_rest().await
}

/// `docs/install.md` with kubectl, from nothing to nothing.
pub(crate) async fn the_page_on_installing_is_right_with_kubectl(world: &World<'_>) -> Result {
    let mut walk = Walk::begin(world, "helm").await?;
    walk.put_in().await?;
    walk.reader
        .follow(INSTALL, "kubectl apply -f deploy/install.yaml")
        .await?;
    walk.samples_converge().await?;
    walk.has_setting("FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL", "2m")
        .await?;
    walk.remove_at_once().await
}

/// `docs/install.md` with kustomize, from nothing to nothing.
pub(crate) async fn the_page_on_installing_is_right_with_kustomize(world: &World<'_>) -> Result {
    let mut walk = Walk::begin(world, "helm").await?;
    walk.put_in().await?;
    walk.reader
        .follow(INSTALL, "mkdir -p target/my-operator")
        .await?;
    fs::remove_dir_all(format!("{DEPLOY}/../target/my-operator"))?;
    // As the other two ways end.
    let samples = format!("{DEPLOY}/samples");
    walk.kubectl(&["apply", "-f", &samples]).await?;
    walk.samples_converge().await?;
    walk.has_setting("FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL", "2m")
        .await?;
    walk.remove_at_once().await
}

/// The five lines of the README, and away again.
pub(crate) async fn the_readme_installs_it(world: &World<'_>) -> Result {
    let mut walk = Walk::begin(world, "helm").await?;
    walk.reader
        .follow(README, "kubectl create namespace fireworks-system")
        .await?;
    walk.samples_converge().await?;
    walk.uninstall().await?;
    walk.remove_the_rest().await
}

/// A block is run, or has a reason why not.
pub(crate) async fn no_block_of_the_pages_is_forgotten(world: &World<'_>) -> Result {
    let forgotten = pages::forgotten(&*world.followed.lock().await)?;
    ensure(forgotten.is_empty(), || {
        format!("that no scenario runs\n{}", forgotten.join("\n"))
    })
}

/// Takes away what scenarios before may have left.
async fn uninstall_all(world: &World<'_>) -> Result {
    helm(
        world,
        &words("uninstall", &["--ignore-not-found", "--wait"]),
    )
    .await?;
    let kubectl = world.node.kubectl();
    for (kind, name) in [
        ("crd", "fireworksusers.iam.fireworks.ai"),
        ("namespace", SYSTEM),
    ] {
        let delete = ["delete", kind, name, "--ignore-not-found", "--timeout=110s"];
        kubectl.run(&delete).await?;
    }
    Ok(())
}

/// A reader on the way through the pages, on a node with nothing of the operator on it.
struct Walk<'a> {
    world: &'a World<'a>,
    reader: Reader,
    key_file: PathBuf,
    seq: u64,
}

impl<'a> Walk<'a> {
    async fn begin(world: &'a World<'_>, helm: &str) -> Result<Self> {
        uninstall_all(world).await?;
        let gateway = &world.gateway;
        let mut users = vec![User::new("root", "admin")];
        let sample = |id| User::new(id, "contributor").email(format!("{id}@example.com"));
        users.extend(SAMPLES.map(|(id, _)| sample(id)));
        for user in users {
            gateway.put(user).await?;
        }
        let key_file = world.node.state().join("key-of-a-reader");
        fs::write(&key_file, format!("{TEST_KEY}\n"))?;
        let put_in = BTreeMap::from([
            ("YOUR_ACCOUNT_ID", ACCOUNT.to_owned()),
            (
                "PATH_TO_A_FILE_WITH_THE_KEY",
                key_file.display().to_string(),
            ),
        ]);
        let walk = Self {
            world,
            reader: Reader::new(world.node, helm, put_in)?,
            key_file,
            seq: gateway.last_seq().await?,
        };
        walk.nothing_is_there().await?;
        Ok(walk)
    }

    /// What all ways of the page have in common.
    async fn put_in(&mut self) -> Result {
        self.reader.follow(INSTALL, "export ACCOUNT_ID").await?;
        self.reader
            .follow(INSTALL, "kubectl create namespace fireworks-system")
            .await
    }

    /// With another name for a flag of the upgrade.
    async fn install_upgrade_and_roll_back(&mut self, flag: &str, name: &str) -> Result {
        self.put_in().await?;
        self.reader.follow(INSTALL, "helm install").await?;
        self.samples_converge().await?;
        let setting = "FIREWORKS_USER_OPERATOR_SWEEP_INTERVAL";
        self.has_setting(setting, "60s").await?;
        self.reader
            .follow_with(INSTALL, "helm upgrade", flag, name)
            .await?;
        self.has_setting(setting, "2m").await?;
        self.reader.follow(INSTALL, "helm rollback").await?;
        self.has_setting(setting, "60s").await
    }

    /// The samples are in effect, and no change was made that they do not ask for.
    async fn samples_converge(&self) -> Result {
        let node = self.world.node;
        node.rolled_out(SYSTEM, OPERATOR).await?;
        let pods = pods(self.world).await?;
        let image = &pods[0]["spec"]["containers"][0]["image"];
        ensure(*image == format!("{DOCUMENTED}:{TAG}"), || {
            format!("the image is {image}")
        })?;
        for sample in LOOKED_AFTER {
            ready(node, "default", sample).await?;
        }
        self.samples_are_as_declared().await
    }

    async fn samples_are_as_declared(&self) -> Result {
        for (id, role) in SAMPLES {
            let seen = self.world.gateway.user(id).await?;
            ensure(seen.role == role, || format!("{id} is {seen:?}"))?;
        }
        let sent = self.world.gateway.patches_since(self.seq).await?;
        ensure(sent == CHANGED, || {
            format!("{sent} PATCHes for {CHANGED} users")
        })
    }

    /// That the Pod was given this.
    async fn has_setting(&self, name: &str, value: &str) -> Result {
        self.world.node.rolled_out(SYSTEM, OPERATOR).await?;
        let pods = pods(self.world).await?;
        let container = &pods[0]["spec"]["containers"][0];
        let mut settings = container["env"].as_array().into_iter().flatten();
        let set = settings.find(|setting| setting["name"] == name);
        ensure(set.is_some_and(|set| set["value"] == value), || {
            format!("{name} is not {value} but {set:?}")
        })?;
        self.samples_are_as_declared().await
    }

    /// The key in the Secret is replaced as the page describes, and used by the Pod that runs.
    async fn take_a_new_key(&mut self) -> Result {
        let before = (pod(self.world).await?, restarts(self.world).await?);
        let new = "fw_0000000001_not_a_real_key";
        for (key, display_name) in [(new, "With the new key"), (TEST_KEY, "With the old key")] {
            fs::write(&self.key_file, format!("{key}\n"))?;
            let gateway = &self.world.gateway;
            gateway.send("PUT", "/_keys", Some(&json!([key]))).await?;
            self.reader
                .follow(INSTALL, "kubectl -n fireworks-system create secret")
                .await?;
            let spec = json!({"role": "inference-user", "displayName": display_name});
            self.apply("default", &user("carol", &spec)).await?;
            ready(self.world.node, "default", "fwuser/carol").await?;
            let seen = self.world.gateway.user("carol").await?;
            ensure(seen.display_name == display_name, || format!("{seen:?}"))?;
        }
        let after = (pod(self.world).await?, restarts(self.world).await?);
        ensure(before == after, || {
            format!("the Pod {before:?} became {after:?}")
        })?;
        // What is reported of the samples counts from here.
        self.seq = self.world.gateway.last_seq().await?;
        Ok(())
    }

    /// Two namespaces instead of all, with Roles instead of the cluster's role.
    async fn watch_two_namespaces(&mut self) -> Result {
        self.world
            .gateway
            .put(User::new("frank", "contributor"))
            .await?;
        self.reader
            .follow(INSTALL, "kubectl create namespace team-a")
            .await?;
        self.world.node.rolled_out(SYSTEM, OPERATOR).await?;
        let frank = user("frank", &json!({"role": "user"}));
        self.apply("team-a", &frank).await?;
        ready(self.world.node, "team-a", "fwuser/frank").await?;
        let there = self.kubectl(&["get", "clusterrole", OPERATOR]).await;
        ensure(there.is_err(), || {
            "a ClusterRole for two namespaces".to_owned()
        })
    }

    /// Admin is granted where the page allows it and nowhere else.
    async fn restrict_admin(&mut self) -> Result {
        self.reader
            .follow(
                INSTALL,
                "kubectl apply -f deploy/policies/restrict-admin.yaml",
            )
            .await?;
        let kubectl = self.world.node.kubectl();
        let admin = user("grace", &json!({"role": "admin"})).to_string();
        let attempt = async |namespace: &str| {
            let words = ["-n", namespace, "create", "--dry-run=server", "-f", "-"];
            kubectl.run_with_input(&words, &admin).await
        };
        // The API server takes a moment to know of a policy, and of a label.
        let node = self.world.node;
        node.until("admin to be refused", async || {
            match attempt("team-a").await {
                Err(error) if error.stderr.contains("may-grant-admin") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        node.until("admin to be granted", async || attempt("default").await)
            .await?;
        let frank = user("frank", &json!({"role": "contributor"}));
        self.apply("team-a", &frank).await?;
        ready(node, "team-a", "fwuser/frank").await
    }

    /// The release goes, and all it speaks of stays.
    async fn uninstall(&mut self) -> Result {
        let seq = self.world.gateway.last_seq().await?;
        let list = ["get", "fwuser", "-A", "-o", "name"];
        let before = self.kubectl(&list).await?;
        self.reader.follow(INSTALL, "helm uninstall").await?;
        self.pods_go().await?;
        let after = self.kubectl(&list).await?;
        ensure(before == after, || format!("{before} became {after}"))?;
        self.kubectl(&["-n", SYSTEM, "get", "secret", "fireworks-api-key"])
            .await?;
        let sent = self.world.gateway.patches_since(seq).await?;
        ensure(sent == 0, || format!("{sent} PATCHes"))
    }

    async fn remove_the_rest(mut self) -> Result {
        self.reader
            .follow(INSTALL, "kubectl delete --ignore-not-found")
            .await?;
        self.end().await
    }

    /// As after an installation without helm.
    async fn remove_at_once(mut self) -> Result {
        self.reader
            .follow(INSTALL, "kubectl delete -f deploy/install.yaml")
            .await?;
        self.pods_go().await?;
        self.end().await
    }

    /// Records what was run, and clears the namespace for the next.
    async fn end(self) -> Result {
        let label = "iam.fireworks.ai/may-grant-admin-";
        self.kubectl(&["label", "namespace", "default", label])
            .await?;
        let team = ["delete", "namespace", "team-a", "--ignore-not-found"];
        self.kubectl(&[&team[..], &["--timeout=110s"]].concat())
            .await?;
        self.nothing_is_there().await?;
        self.world.followed.lock().await.extend(self.reader.run());
        Ok(())
    }

    /// The page takes away all that it brought.
    async fn nothing_is_there(&self) -> Result {
        let kinds = "clusterrole,clusterrolebinding,crd,namespace,validatingadmissionpolicy,\
                     validatingadmissionpolicybinding";
        let there = self.kubectl(&["get", kinds, "-o", "name"]).await?;
        let mut ours = there.lines().filter(|name| name.contains("fireworks"));
        match ours.next() {
            None => Ok(()),
            Some(name) => Err(Failure::new(format!("{name} is there"))),
        }
    }

    async fn pods_go(&self) -> Result {
        let gone = async || match pods(self.world).await {
            Ok(pods) if pods.is_empty() => Ok(()),
            Ok(pods) => Err(format!("{} Pods", pods.len())),
            Err(failure) => Err(failure.to_string()),
        };
        self.world.node.until("the Pods to be gone", gone).await
    }

    async fn apply(&self, namespace: &str, object: &Value) -> Result {
        let kubectl = self.world.node.kubectl();
        kubectl.apply(namespace, &object.to_string()).await?;
        Ok(())
    }

    async fn kubectl(&self, words: &[&str]) -> Result<String> {
        Ok(self.world.node.kubectl().run(words).await?)
    }
}
