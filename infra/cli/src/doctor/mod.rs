//! `jitgate doctor`: is everything right? It finds what is wrong before a job does.

mod app;
mod deployment;
mod finding;
pub mod groups;
mod image;
mod queue;
mod quotas;
mod starts;
mod tasks;

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;

use self::finding::{Finding, Fix, Look, Wrong, exit, text};
use self::groups::{Asked, Signed};
use self::starts::Ended;
use self::tasks::Origin;
use crate::answer::{Answer, width};
use crate::args::Common;
use crate::aws::{Aws, Caller, SecretStore, Stack, Stacks};
use crate::fleet::Deployed;
use crate::github::{App, Installation, SignedIn};
use crate::registry::Image;
use crate::screen::Screen;
use crate::setup::webhook_of;
use crate::trouble::{Exit, Trouble};
use crate::verify::knock;

/// Options of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Mend what can be mended and undone, with one question each
    #[arg(long)]
    pub fix: bool,
}

/// What several checks need, or why it could not be looked at.
type Seen<T> = Result<T, Trouble>;

fn slice<T>(seen: &Seen<Vec<T>>) -> Seen<&[T]> {
    seen.as_deref().map_err(Trouble::clone)
}

struct Patient<'a> {
    aws: &'a Aws,
    fleet: Deployed,
    stack: Option<Stack>,
}

/// Runs the command.
pub async fn run(common: &Common, options: &Doctor, screen: &Screen) -> Result<Answer, Trouble> {
    let aws = Aws::sign_in(common).await?;
    let stacks = Stacks::new(&aws, screen);
    let (fleet, stack) = tokio::try_join!(Deployed::find(&aws, &common.stack), stacks.find(&common.stack))?;
    let patient = Patient { aws: &aws, fleet, stack };
    let mut findings = Box::pin(patient.examine()).await;
    if options.fix {
        let wanted: Vec<(Fix, String)> = findings
            .iter()
            .filter_map(|finding| Some((finding.fix.clone()?, format!("{}: {}", finding.check, finding.what))))
            .collect();
        for (fix, what) in &wanted {
            screen.warn(what);
            screen.confirm(question(fix))?;
            patient.mend(fix).await?;
        }
        if !wanted.is_empty() {
            findings = Box::pin(patient.examine()).await;
        }
    }
    Ok(Answer { text: text(&findings, width()), json: json!({ "checks": findings }), exit: exit(&findings) })
}

fn question(fix: &Fix) -> &'static str {
    match fix {
        Fix::EnableEventSource(_) => "Enable the worker's event source?",
        Fix::PointHook => "Have the App deliver to this fleet's webhook?",
        Fix::Enable(Caller::Schedule { .. }) => "Enable the cleaner's schedule?",
        Fix::Enable(Caller::Rule(_)) => "Enable the cleaner's rule for tasks that stop?",
        Fix::OpenDoors(_) => "Let everybody call the webhook's Function URL, as GitHub must?",
    }
}

impl Patient<'_> {
    /// Looks at everything. What several checks need is asked once.
    async fn examine(&self) -> Vec<Finding> {
        let (aws, fleet) = (self.aws, &self.fleet);
        let (origins, ended, asked) =
            tokio::join!(tasks::origins(aws, fleet), starts::ended(aws, fleet), groups::asked_lately(aws, fleet));
        let (deployed, github, account) =
            tokio::join!(self.deployed(), self.github(&origins, &asked), self.account(&origins, &ended));
        deployed.into_iter().chain(github).chain(account).collect()
    }

    async fn deployed(&self) -> Vec<Finding> {
        let (aws, fleet) = (self.aws, &self.fleet);
        let (stack, doorway, unsigned, signed) = tokio::join!(
            deployment::stack(aws, self.stack.as_ref()),
            deployment::doorway(aws, fleet),
            self.refuses_unsigned(),
            self.takes_signed()
        );
        vec![
            Finding::of("AWS's credentials", Ok(Ok(deployment::credentials(aws)))),
            Finding::of("the stack", stack),
            Finding::of("the functions' version", Ok(deployment::version(fleet))),
            Finding::of("the webhook's Function URL is open", doorway),
            Finding::of("an unsigned delivery is refused", unsigned),
            Finding::of("a signed ping is taken", signed),
        ]
    }

    async fn account(&self, origins: &Seen<Vec<Origin>>, ended: &Seen<Vec<Ended>>) -> Vec<Finding> {
        let (aws, fleet) = (self.aws, &self.fleet);
        let of_origins = async {
            let origins = match origins {
                Ok(origins) => origins,
                Err(trouble) => {
                    return [Err(trouble.clone()), Err(trouble.clone()), Err(trouble.clone())];
                }
            };
            let (definitions, image, quotas) = tokio::join!(
                tasks::definitions(aws, origins),
                image::can_be_pulled(aws, origins),
                quotas::fit(aws, fleet, origins, slice(ended)),
            );
            [definitions, image, quotas]
        };
        let (source, callers, moves, dead, passes, alarms, role, subnets, failed, [definitions, image, quotas]) = tokio::join!(
            queue::event_source(aws, fleet),
            queue::callers(aws, fleet),
            queue::moves(aws, fleet),
            queue::dead_letters(aws, fleet),
            queue::passes(aws, fleet),
            queue::alarms(aws, fleet),
            tasks::ecs_role(aws),
            tasks::subnets(aws, fleet),
            starts::failed(aws, fleet, slice(ended)),
            of_origins,
        );
        vec![
            Finding::of("the worker's event source", source),
            Finding::of("the cleaner's schedule and rule", callers),
            Finding::of("the queue moves", moves),
            Finding::of("dead letters", dead),
            Finding::of("the cleaner's passes", passes),
            Finding::of("alarms", alarms),
            Finding::of("ECS's role", role),
            Finding::of("task definitions and their roles", definitions),
            Finding::of("subnets: a way out, and free addresses", subnets),
            Finding::of("the image can be pulled", image),
            Finding::of("quotas", quotas),
            Finding::of("starts of the last hour", failed),
            Finding::of("where a start's time goes", slice(ended).map(starts::times)),
        ]
    }

    async fn refuses_unsigned(&self) -> Look {
        Ok(match knock(self.aws, &self.url()?, None).await? {
            401 => Ok(String::new()),
            403 => Err(Wrong::new(
                "AWS answers 403 in the webhook's place",
                "let nothing in your organisation forbid public Function URLs, then run `jitgate doctor --fix`",
            )),
            status => Err(Wrong::new(format!("it answers {status}"), "read the webhook's log")),
        })
    }

    async fn takes_signed(&self) -> Look {
        let Some(key) = self.secret().read().await?.webhook_secret() else {
            return Ok(Err(Wrong::new("the secret has no webhook_secret", "run `jitgate app --replace`")));
        };
        Ok(match knock(self.aws, &self.url()?, Some(&key)).await? {
            200 => Ok(String::new()),
            status => Err(Wrong::new(format!("it answers {status}"), "read the webhook's log")),
        })
    }

    async fn github(&self, origins: &Seen<Vec<Origin>>, asked: &Seen<Vec<Asked>>) -> Vec<Finding> {
        let filled = "the secret holds an App's key";
        let signed_in = match self.fleet.app(self.aws).await {
            Ok(Some(app)) => app,
            Ok(None) => {
                let has_token = self.secret().read().await.is_ok_and(|secret| secret.has_token());
                let look = if has_token {
                    Ok("it holds a token, with which GitHub's side is not looked at".to_owned())
                } else {
                    Err(Wrong::new("it is not filled in", "run `jitgate app`"))
                };
                return vec![Finding::of(filled, Ok(look))];
            }
            // A secret that may not be read is no wrong one.
            Err(trouble) if trouble.exit == Exit::Failed && !trouble.what.contains("secretsmanager:") => {
                return vec![Finding::of(filled, Ok(Err(Wrong::new(trouble.what, trouble.remedy))))];
            }
            Err(trouble) => return vec![Finding::of(filled, Err(trouble))],
        };
        let mut findings = vec![Finding::of(filled, Ok(Ok(String::new())))];
        let (app, all, log, hook) =
            tokio::join!(signed_in.app(), signed_in.installations(), signed_in.deliveries(), async {
                app::hook(&signed_in, &self.url()?).await
            },);
        let app = app.map_err(Trouble::from);
        let skew = if app.is_err() { app::clock_skew(signed_in.place()).await } else { None };
        findings.push(Finding::of("the App signs in", app::signs_in(&app, skew)));
        let Ok(app) = app else { return findings };
        let asks_for = app::asks_for(&app, self.fleet.uses());
        findings.extend([
            Finding::of("the App's permissions and event", Ok(asks_for)),
            Finding::of("the App's webhook", hook),
            Finding::of("deliveries", log.map(|log| app::deliveries(&log)).map_err(Trouble::from)),
        ]);
        let all = match all.map_err(Trouble::from) {
            Ok(all) => all,
            Err(trouble) => {
                findings.push(Finding::of("installations", Err(trouble)));
                return findings;
            }
        };
        findings.extend(self.installed(&signed_in, &app, &all, origins, asked).await);
        findings
    }

    /// What needs a token of an installation.
    async fn installed(
        &self,
        signed_in: &SignedIn,
        app: &App,
        all: &[Installation],
        origins: &Seen<Vec<Origin>>,
        asked: &Seen<Vec<Asked>>,
    ) -> Vec<Finding> {
        let fleet = &self.fleet;
        let signed = groups::sign_in(signed_in, fleet, all).await;
        let counted = signed.iter().filter_map(|each| Some((each.installation.id, each.repositories?)));
        let repositories = counted.collect();
        let of_groups =
            async { groups::groups(signed_in, fleet, &signed, asked.as_ref().map_err(Trouble::clone)?).await };
        let (groups, budgets, version) = tokio::join!(
            of_groups,
            groups::budgets(signed_in, &signed),
            self.version(signed_in, &signed, origins, asked)
        );
        vec![
            Finding::of("installations", Ok(app::installations(app, all, &repositories))),
            Finding::of("runners may be registered", groups::registering(&signed)),
            Finding::of("runner groups admit who asks", groups),
            Finding::of("GitHub's calls left of the hour", budgets),
            Finding::of("the runner's version", version),
        ]
    }

    async fn version(
        &self,
        app: &SignedIn,
        signed: &[Signed<'_>],
        origins: &Seen<Vec<Origin>>,
        asked: &Seen<Vec<Asked>>,
    ) -> Look {
        let images = image::images(origins.as_ref().map_err(Trouble::clone)?);
        let named = images.keys().filter_map(|(image, _)| Image::parse(image).version()).collect();
        let asked = asked.as_deref().unwrap_or_default();
        let (ends, warning) = tokio::join!(
            groups::versions(app, &self.fleet, signed, asked, &named),
            starts::version_warning(self.aws, &self.fleet)
        );
        Ok(groups::of_versions(&named, &ends?, warning?.as_ref(), OffsetDateTime::now_utc()))
    }

    async fn mend(&self, fix: &Fix) -> Result<(), Trouble> {
        match fix {
            Fix::EnableEventSource(id) => self.aws.enable_event_source(id).await,
            Fix::Enable(caller) => self.aws.enable(caller).await,
            Fix::OpenDoors(doors) => {
                for door in doors {
                    self.aws.open_door(&self.fleet.webhook.name, *door).await?;
                }
                Ok(())
            }
            Fix::PointHook => {
                let app = self.app().await?;
                let secret = self.secret().read().await?.webhook_secret();
                let secret = secret.ok_or_else(|| {
                    Trouble::failed("the secret has no webhook_secret", "run `jitgate app --replace`")
                })?;
                app.set_hook(&self.url()?, &secret).await?;
                Ok(())
            }
        }
    }

    async fn app(&self) -> Result<SignedIn, Trouble> {
        let app = self.fleet.app(self.aws).await?;
        app.ok_or_else(|| Trouble::failed("the secret holds no App's key", "run `jitgate app`"))
    }

    fn secret(&self) -> SecretStore {
        SecretStore::new(self.aws, self.fleet.setting("GITHUB_SECRET_ID").unwrap_or_default())
    }

    fn url(&self) -> Result<url::Url, Trouble> {
        if let Some(stack) = &self.stack {
            return webhook_of(stack);
        }
        let url = self.fleet.setting("WEBHOOK_URL")?;
        url.parse().map_err(|_| Trouble::failed(format!("WEBHOOK_URL is {url:?}"), "run `terraform apply`"))
    }
}
