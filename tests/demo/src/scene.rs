//! One step of the story: what may be done in it (type a command, edit the account, wait, check) and how that is shown.
//! What happens in which step is the story's.

use std::time::{Duration, Instant};

use fireworks_gateway_simulator::{Entry, Verb};
use rig::until;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::gateway::{in_one_line, patches, summary};
use crate::screen::Screen;
use crate::world::{NAMESPACE, World};

/// Far above what anything takes: only a fault meets it.
const WITHIN: Duration = Duration::from_secs(30);

/// A step that is being shown.
pub(crate) struct Scene<'a> {
    screen: &'a Screen,
    world: &'a World,
    /// The gateway's calls after this one belong to the step.
    since: u64,
}

impl<'a> Scene<'a> {
    /// Opens the step with its headline.
    pub(crate) async fn open(
        screen: &'a Screen,
        world: &'a World,
        number: usize,
        headline: &str,
    ) -> Result<Self, Failure> {
        screen.headline(number, headline);
        let since = world.gateway.last_seq().await?;
        Ok(Self {
            screen,
            world,
            since,
        })
    }

    /// Ends the step with what the gateway was asked in it.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.screen.calls(&summary(&self.calls().await?));
        Ok(())
    }

    /// Types a command that has to succeed.
    pub(crate) async fn types(&self, script: &str) -> Result<String, Failure> {
        match self.tries(script).await? {
            (true, text) => Ok(text),
            (false, _) => Err(Failure::new(format!("this command failed: {script}"))),
        }
    }

    /// Types a command that has to be refused.
    pub(crate) async fn is_refused(&self, script: &str, because: &str) -> Result<(), Failure> {
        let (succeeded, text) = self.tries(script).await?;
        let refused = !succeeded && text.contains(because);
        self.check(&format!("refused: {because}"), refused, &text)
    }

    async fn tries(&self, script: &str) -> Result<(bool, String), Failure> {
        self.screen.command(script);
        let (succeeded, text) = self.world.shell(script).await?;
        self.screen.output(&text);
        Ok((succeeded, text))
    }

    /// Edits the account past the operator, as the web console would, and shows the `curl` that does the same.
    pub(crate) async fn edits(&self, method: &str, id: &str, user: &Value) -> Result<(), Failure> {
        let url = self.world.gateway.url();
        self.screen
            .command(&format!("curl -X {method} {url}/_users/{id} -d '{user}'"));
        self.world.gateway.edit(method, id, user).await
    }

    /// Shows the users of the account, as Fireworks has them.
    pub(crate) async fn shows_account(&self) -> Result<(), Failure> {
        self.screen.output(&format!(
            "{:<8} {:<16} {:<8} {}",
            "USER", "ROLE", "PRESET", "DISPLAY NAME"
        ));
        for user in self.world.gateway.users().await? {
            let (role, preset) = (&user.role, &user.permission_preset);
            self.screen.output(&format!(
                "{:<8} {role:<16} {preset:<8} {}",
                user.id, user.display_name
            ));
        }
        Ok(())
    }

    /// Waits until `Ready` of the object, observed at its own generation, gives that status and reason.
    pub(crate) async fn until(
        &self,
        name: &str,
        status: &str,
        reason: &str,
    ) -> Result<Value, Failure> {
        let begun = Instant::now();
        let what = format!("{name} to be {reason}");
        let object = until(WITHIN, &what, async || {
            let object = self.object(name).await.map_err(|error| error.to_string())?;
            let observed = &object["status"]["observedGeneration"];
            let ready = condition(&object, "Ready");
            let seen = *observed == object["metadata"]["generation"]
                && ready["status"] == status
                && ready["reason"] == reason;
            seen.then_some(object).ok_or_else(|| ready.to_string())
        });
        let object = object.await?;
        let seconds = begun.elapsed().as_secs_f32();
        self.screen.check(&format!(
            "{name} is {reason}, Ready={status} (after {seconds:.1} s)"
        ));
        Ok(object)
    }

    /// Waits until that user has been patched in this step, and answers the body. More than one PATCH is a failure.
    pub(crate) async fn until_patched(&self, id: &str) -> Result<Value, Failure> {
        let begun = Instant::now();
        let what = format!("a PATCH of {id}");
        until(WITHIN, &what, async || {
            let calls = self.calls().await.map_err(|error| error.to_string())?;
            let done = patches(&calls, id)
                .iter()
                .any(|call| call.status == Some(200));
            done.then_some(()).ok_or_else(|| in_one_line(&calls))
        })
        .await?;
        let seconds = begun.elapsed().as_secs_f32();
        self.screen
            .check(&format!("{id} was patched after {seconds:.1} s"));
        self.only_patch(id).await
    }

    /// The body of the one PATCH of that user in this step.
    pub(crate) async fn only_patch(&self, id: &str) -> Result<Value, Failure> {
        let calls = self.calls().await?;
        match patches(&calls, id)[..] {
            [only] => Ok(only.body.clone().unwrap_or_default()),
            ref more => Err(Failure::new(format!(
                "{} PATCHes of {id} instead of 1: {}",
                more.len(),
                in_one_line(&calls)
            ))),
        }
    }

    /// Waits for two whole sweeps that begin after this call: whatever the operator would do about what is there now,
    /// it has done then.
    pub(crate) async fn until_swept(&self) -> Result<(), Failure> {
        let from = self.world.gateway.last_seq().await?;
        let swept = until(WITHIN, "two more sweeps", async || {
            let calls = self.world.gateway.calls_since(from).await;
            let calls = calls.map_err(|error| error.to_string())?;
            let sweeps = calls.iter().filter(|call| {
                matches!(call.verb, Verb::List | Verb::Get) && call.status == Some(200)
            });
            let count = sweeps.count();
            (count >= 2).then_some(()).ok_or(format!("{count}"))
        });
        Ok(swept.await?)
    }

    /// Waits until an Event with that reason is there about the object.
    pub(crate) async fn until_event(&self, name: &str, reason: &str) -> Result<(), Failure> {
        let field = format!("--field-selector=regarding.name={name},reason={reason}");
        let args = ["events.events.k8s.io", "-n", NAMESPACE, &field];
        let what = format!("the Event {reason} about {name}");
        let came = until(WITHIN, &what, async || {
            let list = self.world.plane.get_json(&args).await;
            let list = list.map_err(|error| error.to_string())?;
            let some = list["items"].as_array().is_some_and(|all| !all.is_empty());
            some.then_some(()).ok_or("none".to_owned())
        });
        Ok(came.await?)
    }

    /// Checks something and shows it, or ends the story with what was there instead.
    pub(crate) fn check(&self, what: &str, holds: bool, seen: &str) -> Result<(), Failure> {
        if !holds {
            return Err(Failure::new(format!("not so: {what}; seen: {seen}")));
        }
        self.screen.check(what);
        Ok(())
    }

    /// Checks what the account has for a user: id, role, preset, display name.
    pub(crate) async fn check_remote(
        &self,
        id: &str,
        role: &str,
        preset: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let user = self.world.gateway.user(id).await?;
        let seen = [&user.role, &user.permission_preset, &user.display_name];
        let preset_shown = if preset.is_empty() {
            String::new()
        } else {
            format!(", preset {preset}")
        };
        self.check(
            &format!("at Fireworks {id} has the role {role}{preset_shown}, display name {name:?}"),
            seen == [role, preset, name],
            &format!("{seen:?}"),
        )
    }

    /// Checks that no call of this step changed anything at Fireworks.
    pub(crate) async fn check_no_change(&self) -> Result<(), Failure> {
        let calls = self.calls().await?;
        let reads = |call: &Entry| matches!(call.verb, Verb::List | Verb::Get);
        let seen = in_one_line(&calls);
        let what = "the operator sent nothing that changes the account";
        self.check(what, calls.iter().all(reads), &seen)
    }

    /// The object as the API server has it.
    pub(crate) async fn object(&self, name: &str) -> Result<Value, Failure> {
        let args = ["fireworksuser", name, "-n", NAMESPACE];
        Ok(self.world.plane.get_json(&args).await?)
    }

    async fn calls(&self) -> Result<Vec<Entry>, Failure> {
        self.world.gateway.calls_since(self.since).await
    }
}

/// The condition of that type; null where there is none.
pub(crate) fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array();
    let found = all.and_then(|all| all.iter().find(|one| one["type"] == kind));
    found.cloned().unwrap_or(json!(null))
}
