//! What it is all for, whatever way the operator came to the cluster: users applied with `kubectl` become as declared.

use fireworks_gateway_simulator::User;
use serde_json::{Value, json};

use super::World;
use crate::failure::{Result, ensure};
use crate::node::Node;

/// The users of one namespace, with what was asked of Fireworks since they came.
pub(crate) struct Users<'a> {
    world: &'a World<'a>,
    /// Where the objects are; part of the users' names too, so that no scenario meets another one's users.
    pub(crate) namespace: &'a str,
    seq: u64,
}

/// A `FireworksUser`.
pub(crate) fn user(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "iam.fireworks.ai/v1alpha1",
        "kind": "FireworksUser",
        "metadata": {"name": name},
        "spec": spec,
    })
}

impl<'a> Users<'a> {
    /// Two users of the account, and a namespace for their objects, which are not there yet.
    pub(crate) async fn open(world: &'a World<'_>, namespace: &'a str) -> Result<Self> {
        let mut users = Self {
            world,
            namespace,
            seq: 0,
        };
        users.are_invited().await?;
        let kubectl = world.node.kubectl();
        kubectl.run(&["create", "namespace", namespace]).await?;
        users.seq = world.gateway.last_seq().await?;
        Ok(users)
    }

    /// Puts them into the account, beside an administrator.
    pub(crate) async fn are_invited(&self) -> Result {
        let gateway = &self.world.gateway;
        gateway.put(User::new("root", "admin")).await?;
        for name in ["alice", "bob"] {
            gateway.put(User::new(self.id(name), "contributor")).await?;
        }
        Ok(())
    }

    /// Users of the account that are not as their objects, which are applied in a new namespace: they converge.
    pub(crate) async fn converge(world: &'a World<'_>, namespace: &'a str) -> Result<Self> {
        let users = Self::open(world, namespace).await?;
        users.are_made("alice", "bob").await?;
        Ok(users)
    }

    /// Declares both, and waits for them: one `PATCH` each.
    pub(crate) async fn are_made(&self, one: &str, other: &str) -> Result {
        self.apply(one, "user", "Alice Liddell").await?;
        self.apply(other, "user", "Bob Builder").await?;
        self.are(one, "user", "Alice Liddell").await?;
        self.are(other, "user", "Bob Builder").await?;
        self.cost_patches(2).await
    }

    /// Declares a user.
    pub(crate) async fn apply(&self, name: &str, role: &str, display_name: &str) -> Result {
        let object = user(
            &self.id(name),
            &json!({"role": role, "displayName": display_name}),
        );
        let kubectl = self.world.node.kubectl();
        kubectl.apply(self.namespace, &object.to_string()).await?;
        Ok(())
    }

    /// Waits until the user is Ready as declared last, and looks at Fireworks.
    pub(crate) async fn are(&self, name: &str, role: &str, display_name: &str) -> Result {
        ready(
            self.world.node,
            self.namespace,
            &format!("fwuser/{}", self.id(name)),
        )
        .await?;
        let seen = self.at_fireworks(name).await?;
        ensure(
            seen.role == role && seen.display_name == display_name,
            || format!("{name} is Ready, and at Fireworks {seen:?}"),
        )
    }

    /// The name of the object and of the user.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }

    /// The object as the API server has it.
    pub(crate) async fn object(&self, name: &str) -> Result<Value> {
        let object = format!("fwuser/{}", self.id(name));
        let kubectl = self.world.node.kubectl();
        Ok(kubectl.get_json(&["-n", self.namespace, &object]).await?)
    }

    /// The user as it is at Fireworks.
    pub(crate) async fn at_fireworks(&self, name: &str) -> Result<User> {
        self.world.gateway.user(&self.id(name)).await
    }

    /// Changes a user by its object, and waits for it.
    pub(crate) async fn change(&self, name: &str, role: &str, display_name: &str) -> Result {
        self.apply(name, role, display_name).await?;
        self.are(name, role, display_name).await
    }

    /// Gives the user another role behind the operator's back, and waits until it has its own again.
    pub(crate) async fn drift_is_undone(&self, name: &str, role: &str) -> Result {
        let before = self.at_fireworks(name).await?;
        let changed = json!({"role": role});
        self.world.gateway.edit(&self.id(name), &changed).await?;
        self.become_again(name, &before.role, &before.display_name)
            .await
    }

    /// Waits until the user is what it was, and then as [`Users::are`]: its object may be Ready from the time before, for as
    /// long as no read was made.
    pub(crate) async fn become_again(&self, name: &str, role: &str, display_name: &str) -> Result {
        self.world
            .node
            .until(
                "what was changed behind the operator's back to be undone",
                async || match self.at_fireworks(name).await {
                    Ok(now) if now.role == role => Ok(()),
                    Ok(now) => Err(now.role),
                    Err(failure) => Err(failure.to_string()),
                },
            )
            .await?;
        self.are(name, role, display_name).await
    }

    /// Gives the user the role `custom` by its object, and waits for it.
    pub(crate) async fn become_custom(&self, name: &str) -> Result {
        let spec = json!({"role": "custom", "permissionPreset": "agent"});
        let object = user(&self.id(name), &spec).to_string();
        let kubectl = self.world.node.kubectl();
        kubectl.apply(self.namespace, &object).await?;
        let display_name = self.at_fireworks(name).await?.display_name;
        self.are(name, "custom", &display_name).await
    }

    /// That `PATCH` has been sent exactly that number of times.
    pub(crate) async fn cost_patches(&self, count: usize) -> Result {
        self.cost_at_most(count, count).await
    }

    /// That `PATCH` has been sent that number of times.
    pub(crate) async fn cost_at_most(&self, least: usize, most: usize) -> Result {
        let sent = self.world.gateway.patches_since(self.seq).await?;
        ensure((least..=most).contains(&sent), || {
            format!("{sent} PATCHes where {least} to {most} were to be sent")
        })
    }

    /// Deletes the namespace, which takes the objects with it, and waits for that.
    pub(crate) async fn leave(self) -> Result {
        let kubectl = self.world.node.kubectl();
        let namespace = self.namespace;
        kubectl
            .run(&["delete", "namespace", namespace, "--timeout=110s"])
            .await?;
        Ok(())
    }
}

/// Waits until objects are Ready, as declared last: `kubectl` compares the generations.
pub(crate) async fn ready(node: &Node, namespace: &str, what: &str) -> Result {
    let args = [
        "-n",
        namespace,
        "wait",
        what,
        "--for=condition=Ready",
        "--timeout=110s",
    ];
    node.kubectl().run(&args).await?;
    Ok(())
}
