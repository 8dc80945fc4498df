//! `jitgate setup`: from nothing to a verified fleet. The world is the state: each run looks what is there and does the
//! rest.

mod network;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::fs;

use secrecy::SecretString;
use url::Url;

use crate::args::{Common, Setup};
use crate::aws::{self, Aws, FleetSecret, SecretStore, Stack, Standing};
use crate::deploy::Fleet;
use crate::github::{App, Created, Installation, Maker, Owner, Place, SignedIn, Uses};
use crate::install;
use crate::receipt::Receipts;
use crate::screen::Screen;
use crate::template::Source;
use crate::trouble::Trouble;
use crate::verify::Verification;

pub use plan::Step;
use plan::{CredentialFound, Found, plan, words_of};
pub use report::Report;

/// What an idle fleet costs a month, in dollars, with the default alarms. Source: docs/PERFORMANCE.md, "An idle fleet".
pub const IDLE_COST: &str = "1.42";

/// The stack's parameter that says which GitHub it works for.
pub const API_PARAMETER: &str = "GitHubApiUrl";

/// Runs the command.
pub async fn run(common: &Common, options: &Setup, screen: &Screen) -> Result<Report, Trouble> {
    screen.begin(format!("jitgate {} setup", env!("CARGO_PKG_VERSION")));
    let aws = Aws::sign_in(common).await?;
    let setup = Steps {
        fleet: Fleet::new(&aws, screen, common),
        receipts: Receipts::of(&aws, &common.stack)?,
        options,
        screen,
    };
    setup.run().await
}

struct Steps<'a> {
    fleet: Fleet<'a>,
    receipts: Receipts,
    options: &'a Setup,
    screen: &'a Screen,
}

/// An App that exists.
struct Given {
    id: String,
    key: SecretString,
    webhook_secret: Option<SecretString>,
}

impl Steps<'_> {
    async fn run(&self) -> Result<Report, Trouble> {
        let (aws, screen, name) = (self.fleet.aws, self.screen, self.fleet.name);
        screen.say(format!("{} in {}, as {}", aws.account, aws.region, aws.caller));
        let waiting = screen.wait("looking at what is there");
        let stack = self.fleet.settled(name).await?;
        let standing = stack.as_ref().map_or(Standing::Absent, Stack::standing);
        if standing == Standing::Stuck {
            waiting.clear();
            return Err(Trouble::failed(
                format!("stack {name} is UPDATE_ROLLBACK_FAILED"),
                format!("run `aws cloudformation continue-update-rollback --stack-name {name}` first"),
            ));
        }
        let given = self.given()?;
        let secret = match stack.as_ref().filter(|_| standing == Standing::Steady) {
            Some(stack) => Some(self.secret_of(stack)?.read().await?),
            None => None,
        };
        let steps = plan(&Found {
            has_ecs_role: aws::has_ecs_role(aws).await?,
            stack: standing,
            is_as_wanted: stack.as_ref().is_some_and(|stack| self.is_as_wanted(stack)),
            has_bucket: self.fleet.has_bucket(&self.options.code).await?,
            credential: secret.as_ref().map_or(CredentialFound::Nothing, credential_of),
            app_is_given: given.is_some(),
        });
        waiting.done("looked at what is there");
        // Nobody has to be permitted to read quotas.
        if let Ok(vcpus) = aws.fargate_vcpus().await {
            screen.say(format!("Fargate runs at most {vcpus} vCPU at once here (a quota of your account's)"));
        }
        let place = self.place(stack.as_ref());
        let owner =
            if steps.contains(&Step::MakeApp) { Some(Maker::owner(screen, &self.options.github)?) } else { None };
        let parameters = self.parameters(&place, &steps).await?;
        self.agree(&steps)?;
        self.carry_out(steps, stack, &place, owner, given, parameters).await
    }

    /// Shows the plan and asks once. Where nothing is to be made, there is nothing to ask.
    fn agree(&self, steps: &[Step]) -> Result<(), Trouble> {
        let makes = |step: &&Step| step.changes() && **step != Step::Install;
        self.screen.note("The plan", words_of(steps));
        if !steps.iter().any(|step| makes(&step)) {
            return Ok(());
        }
        if steps.contains(&Step::CreateStack) {
            self.screen
                .say(format!("It costs ${IDLE_COST} a month while idle; docs/PERFORMANCE.md has the arithmetic."));
        }
        self.screen.confirm("Go on?")
    }

    async fn carry_out(
        &self,
        steps: Vec<Step>,
        found: Option<Stack>,
        place: &Place,
        owner: Option<Owner>,
        given: Option<Given>,
        parameters: BTreeMap<String, String>,
    ) -> Result<Report, Trouble> {
        let (aws, screen, name) = (self.fleet.aws, self.screen, self.fleet.name);
        let mut stack = found;
        let mut given = given;
        let mut installations = Vec::new();
        let mut checks = Vec::new();
        for step in &steps {
            match step {
                Step::EcsRole => {
                    aws::ensure_ecs_role(aws).await?;
                    screen.done("ECS's service-linked role is there");
                }
                Step::CodeBucket => {
                    let bucket = self.fleet.bucket(&self.options.code).await?;
                    self.receipts.note(|receipt| receipt.bucket = Some(bucket.name))?;
                }
                Step::RemoveFailed => {
                    if let Some(stack) = stack.take() {
                        self.fleet.stacks.delete(&stack, name).await?;
                    }
                }
                Step::CreateStack | Step::UpdateStack => {
                    stack = match self.fleet.prepare(&self.options.code, &parameters).await? {
                        Some(prepared) => {
                            self.receipts.note(|receipt| receipt.bucket = Some(prepared.bucket().to_owned()))?;
                            Some(self.fleet.carry_out(&prepared, &self.options.code).await?)
                        }
                        None => self.fleet.stacks.find(name).await?,
                    };
                }
                Step::RehearseSecret => {
                    let store = self.secret_of(there(stack.as_ref(), name)?)?;
                    store.write(&store.read().await?).await?;
                    screen.done("the secret can be written");
                }
                Step::MakeApp => {
                    let stack = there(stack.as_ref(), name)?;
                    let webhook = webhook_of(stack)?;
                    let maker = Maker {
                        screen,
                        place,
                        options: &self.options.github,
                        stack: name,
                        uses: Uses::of_stack(&stack.parameters),
                        webhook: &webhook,
                    };
                    let owner = owner.clone().unwrap_or(Owner::Personal);
                    let created = maker.make(&owner).await?;
                    keep(&self.receipts, &self.secret_of(stack)?, place, &created).await?;
                    screen
                        .done(format!("App {} is made; its key is in Secrets Manager, and nowhere else", created.slug));
                }
                Step::StoreApp => {
                    let stack = there(stack.as_ref(), name)?;
                    if let Some(app) = given.take() {
                        self.store(stack, place, &app).await?;
                    }
                }
                Step::Install => {
                    let secret = self.secret_of(there(stack.as_ref(), name)?)?.read().await?;
                    let app = signed_in(place, &secret)?;
                    let description = app.app().await?;
                    installations = install::wait_for(screen, &app, &description, &self.options.github).await?;
                    let App { id, slug, owner, .. } = &description;
                    self.receipts.note(|receipt| receipt.set_app(*id, slug, owner, place))?;
                }
                Step::Verify => {
                    checks = self.verify(there(stack.as_ref(), name)?, place, &installations).await?;
                }
            }
            self.receipts.note(|receipt| receipt.add_step(*step))?;
        }
        let stack = there(stack.as_ref(), name)?;
        screen.note("A first workflow", workflow(stack));
        screen.end("Your fleet is ready. If a job stays queued, docs/OPERATIONS.md says what to look at.");
        Ok(Report {
            stack: name.to_owned(),
            account: aws.account.clone(),
            region: aws.region.clone(),
            version: env!("CARGO_PKG_VERSION"),
            webhook_url: webhook_of(stack)?.to_string(),
            steps,
            installations: installations.into_iter().map(|installation| installation.account.login).collect(),
            app: self.receipts.read().app_slug,
            checks,
        })
    }

    async fn verify(
        &self,
        stack: &Stack,
        place: &Place,
        installations: &[Installation],
    ) -> Result<Vec<crate::verify::Check>, Trouble> {
        let secret = self.secret_of(stack)?.read().await?;
        let webhook_secret = secret.webhook_secret().ok_or_else(|| {
            Trouble::failed("the secret has no webhook_secret", "put the one of the App's settings into it")
        })?;
        let app = if secret.has_token() { None } else { Some(signed_in(place, &secret)?) };
        let verification = Verification {
            aws: self.fleet.aws,
            screen: self.screen,
            webhook: &webhook_of(stack)?,
            webhook_secret: &webhook_secret,
            app: app.as_ref(),
            installations,
        };
        verification.run().await
    }

    /// Stores an App that exists, and makes its webhook lead here.
    async fn store(&self, stack: &Stack, place: &Place, given: &Given) -> Result<(), Trouble> {
        let app = SignedIn::new(place.clone(), &given.id, &given.key)?;
        let slug = app.app().await?.slug;
        let store = self.secret_of(stack)?;
        let secret = store.read().await?.with_app(&given.id, &given.key, given.webhook_secret.as_ref());
        store.write(&secret).await?;
        if given.webhook_secret.is_none() {
            let ours = secret.webhook_secret().unwrap_or_default();
            app.set_hook(&webhook_of(stack)?, &ours).await?;
        }
        let _ = fs::remove_file(self.receipts.stranded());
        self.screen.done(format!("App {slug} is stored, and delivers to this stack"));
        Ok(())
    }

    /// The App that the user named, or one that an earlier run could not store.
    fn given(&self) -> Result<Option<Given>, Trouble> {
        if let (Some(id), Some(path)) = (&self.options.github.app_id, &self.options.github.private_key) {
            let key = fs::read_to_string(path).map_err(|error| Trouble::file(path, &error))?;
            return Ok(Some(Given { id: id.clone(), key: key.into(), webhook_secret: None }));
        }
        let path = self.receipts.stranded();
        match fs::read(&path) {
            Err(_) => Ok(None),
            Ok(text) => {
                let app: Created = serde_json::from_slice(&text).map_err(|_| {
                    Trouble::failed(format!("{} cannot be read", path.display()), "delete it, and the App as well")
                })?;
                self.screen.say(format!("App {}, which could not be stored before, is taken", app.slug));
                Ok(Some(Given { id: app.id.to_string(), key: app.pem, webhook_secret: app.webhook_secret }))
            }
        }
    }

    /// Whether the stack is this version's and has the parameters that the command line sets.
    fn is_as_wanted(&self, stack: &Stack) -> bool {
        let has = |(name, value): &(String, String)| stack.parameters.get(name) == Some(value);
        stack.version.as_deref() == Some(env!("CARGO_PKG_VERSION")) && self.options.parameters.iter().all(has)
    }

    /// GitHub as the command line names it, or the stack, or github.com.
    fn place(&self, stack: Option<&Stack>) -> Place {
        let named = self.options.github.github_url.clone().map(Place::new);
        let of_stack = || stack.and_then(|stack| Place::of_api(stack.parameters.get(API_PARAMETER)?));
        named.or_else(of_stack).unwrap_or_default()
    }

    /// The parameters to set. A new stack needs a network; whatever the user sets goes before what is found.
    async fn parameters(&self, place: &Place, steps: &[Step]) -> Result<BTreeMap<String, String>, Trouble> {
        let mut parameters: BTreeMap<String, String> = self.options.parameters.iter().cloned().collect();
        Source::find(&self.options.code)?.check(parameters.keys())?;
        if !steps.contains(&Step::CreateStack) {
            return Ok(parameters);
        }
        if !parameters.contains_key("VpcId") || !parameters.contains_key("SubnetIds") {
            for (name, value) in network::choose(self.fleet.aws, self.screen, self.options).await? {
                parameters.entry(name).or_insert(value);
            }
        }
        if *place != Place::default() {
            parameters.entry(API_PARAMETER.to_owned()).or_insert_with(|| place.parameter());
        }
        Ok(parameters)
    }

    fn secret_of(&self, stack: &Stack) -> Result<SecretStore, Trouble> {
        Ok(SecretStore::new(self.fleet.aws, stack.output("GitHubSecretArn")?))
    }
}

/// Stores an App that GitHub has just made. Its key exists nowhere else, so where the secret cannot be written, a file
/// takes it.
pub async fn keep(receipts: &Receipts, store: &SecretStore, place: &Place, created: &Created) -> Result<(), Trouble> {
    let stored = async {
        let secret = store.read().await?;
        store.write(&secret.with_app(&created.id.to_string(), &created.pem, created.webhook_secret.as_ref())).await
    };
    let Err(trouble) = stored.await else {
        return receipts.note(|receipt| receipt.set_app(created.id, &created.slug, &created.owner, place));
    };
    let path = receipts.keep("app.json", created.to_json().to_string().as_bytes())?;
    let remedy = format!(
        "the App is made, and its key is in {}, which only you can read. Mend this, and run `jitgate setup` again: it \
         stores the key and deletes the file",
        path.display()
    );
    Err(Trouble { remedy, ..trouble })
}

/// A client that signs in with the App of the secret.
pub fn signed_in(place: &Place, secret: &FleetSecret) -> Result<SignedIn, Trouble> {
    let (id, key) = secret
        .app()
        .ok_or_else(|| Trouble::failed("the secret holds no App", "run `jitgate setup`, which makes one"))?;
    SignedIn::new(place.clone(), &id, &key)
}

/// The address to which GitHub delivers.
pub fn webhook_of(stack: &Stack) -> Result<Url, Trouble> {
    let text = stack.output("WebhookUrl")?;
    Url::parse(&text).map_err(|_| Trouble::failed(format!("{text:?} is no address"), "run `jitgate upgrade`"))
}

fn credential_of(secret: &FleetSecret) -> CredentialFound {
    if secret.has_token() {
        CredentialFound::Token
    } else if secret.app().is_some() {
        CredentialFound::App
    } else {
        CredentialFound::Nothing
    }
}

fn there<'s>(stack: Option<&'s Stack>, name: &str) -> Result<&'s Stack, Trouble> {
    stack.ok_or_else(|| Trouble::failed(format!("stack {name} is gone"), "run the command again"))
}

fn workflow(stack: &Stack) -> String {
    let labels = stack.parameters.get("RunnerLabels").map_or("fargate", String::as_str);
    format!("jobs:\n  build:\n    runs-on: [{labels}]\n    steps:\n      - run: uname -a")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_names_the_same_cost_as_the_readme() {
        let readme = include_str!("../../../../README.md");
        assert!(readme.contains(&format!("[${IDLE_COST} a month](docs/PERFORMANCE.md#an-idle-fleet)")));
    }
}
