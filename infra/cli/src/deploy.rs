//! The two stacks: one for the code's bucket, one for the fleet.

use std::collections::{BTreeMap, HashSet};

use crate::args::{CodeOptions, Common};
use crate::aws::{Aws, Bucket, Change, ChangeSet, Stack, Stacks, Standing, Template, Wanted};
use crate::code::{Code, Processor};
use crate::screen::Screen;
use crate::template::{Source, keys_in};
use crate::trouble::Trouble;

/// The code stack's template: one private bucket.
const CODE_TEMPLATE: &str = include_str!("code.yaml");

/// A name of CloudFormation's for the code stack's bucket.
pub(crate) const BUCKET_OUTPUT: &str = "BucketName";

/// A fleet in an account, by the name of its stack.
pub struct Fleet<'a> {
    /// The account.
    pub aws: &'a Aws,
    /// CloudFormation.
    pub stacks: Stacks<'a>,
    /// The terminal.
    pub screen: &'a Screen,
    /// The stack's name.
    pub name: &'a str,
}

/// A change of the fleet's stack that is ready to be carried out.
pub struct Prepared {
    set: ChangeSet,
    bucket: Bucket,
    needed: HashSet<String>,
}

impl Prepared {
    /// What would change.
    pub fn changes(&self) -> &[Change] {
        &self.set.changes
    }

    /// The name of the bucket with the code.
    pub fn bucket(&self) -> &str {
        &self.bucket.name
    }
}

impl<'a> Fleet<'a> {
    /// The fleet that the command line names.
    pub fn new(aws: &'a Aws, screen: &'a Screen, common: &'a Common) -> Self {
        Self { aws, stacks: Stacks::new(aws, screen), screen, name: &common.stack }
    }

    /// The name of the code's stack.
    pub fn code_name(&self) -> String {
        format!("{}-code", self.name)
    }

    /// A stack, once nobody works on it any more.
    pub async fn settled(&self, name: &str) -> Result<Option<Stack>, Trouble> {
        match self.stacks.find(name).await? {
            Some(stack) if stack.standing() == Standing::Busy => {
                // Its failure is for whoever made the change; what it left is looked at again.
                let _ = self.stacks.wait_for_others(name).await;
                self.stacks.find(name).await
            }
            found => Ok(found),
        }
    }

    /// The fleet's stack, which must be there.
    pub async fn existing(&self) -> Result<Stack, Trouble> {
        match self.settled(self.name).await? {
            Some(stack) if stack.standing() == Standing::Steady => Ok(stack),
            Some(stack) => Err(Trouble::failed(
                format!("stack {} is {}", self.name, stack.status),
                "run `jitgate setup`, which repairs it where it can",
            )),
            None => Err(Trouble::failed(
                format!("there is no stack {} in {}", self.name, self.aws.region),
                "check --stack, --region and --profile, or begin with `jitgate setup`",
            )),
        }
    }

    /// Whether there is a bucket for the code.
    pub async fn has_bucket(&self, options: &CodeOptions) -> Result<bool, Trouble> {
        if options.code_bucket.is_some() {
            return Ok(true);
        }
        let stack = self.stacks.find(&self.code_name()).await?;
        Ok(stack.is_some_and(|stack| matches!(stack.standing(), Standing::Steady | Standing::Busy)))
    }

    /// The bucket for the code; made if there is none.
    pub async fn bucket(&self, options: &CodeOptions) -> Result<Bucket, Trouble> {
        if let Some(name) = &options.code_bucket {
            return Ok(Bucket::new(self.aws, name.clone()));
        }
        let name = self.code_name();
        let mut found = self.settled(&name).await?;
        if let Some(stack) = found.take_if(|stack| stack.standing() == Standing::Doomed) {
            self.stacks.delete(&stack, &name).await?;
        }
        // An empty shell, which an earlier run left when its change set was not carried out, takes another one.
        let stack = if let Some(stack) = found.filter(|stack| stack.standing() != Standing::Absent) {
            stack
        } else {
            let (parameters, known) = (BTreeMap::new(), HashSet::new());
            let wanted = Wanted { template: Template::Text(CODE_TEMPLATE), parameters: &parameters, known: &known };
            match self.stacks.prepare(&name, &wanted).await? {
                Some(set) => self.stacks.carry_out(&name, &set).await?,
                None => return Err(Trouble::bug(&format!("stack {name} would be empty"))),
            }
        };
        Ok(Bucket::new(self.aws, stack.output(BUCKET_OUTPUT)?))
    }

    /// Uploads this version and has CloudFormation say what would change; `None` if nothing would.
    pub async fn prepare(
        &self,
        options: &CodeOptions,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<Prepared>, Trouble> {
        let source = Source::find(options)?;
        source.check(parameters.keys())?;
        let known = source.parameters();
        let before = self.stacks.find(self.name).await?;
        let processor = parameters.get("FunctionArchitecture");
        let processor = processor.or_else(|| before.as_ref()?.parameters.get("FunctionArchitecture"));
        let code = Code::find(&source, options, Processor::of(processor), self.screen).await?;
        let bucket = self.bucket(options).await?;
        let waiting = self.screen.wait(format!("uploading the code to bucket {}", bucket.name));
        let uploaded = code.upload(&source, self.aws, &bucket).await?;
        waiting.done(format!("the code is in bucket {}", bucket.name));
        let mut needed: HashSet<String> = uploaded.keys.iter().map(|key| key.0.clone()).collect();
        if before.as_ref().is_some_and(|stack| stack.standing() == Standing::Steady) {
            needed.extend(keys_in(&self.stacks.template_of(self.name).await?).into_iter().map(|key| key.0));
        }
        let wanted = Wanted { template: Template::At(&uploaded.address), parameters, known: &known };
        let set = self.stacks.prepare(self.name, &wanted).await?;
        Ok(set.map(|set| Prepared { set, bucket, needed }))
    }

    /// Carries a change out, and then removes the code that neither this version nor the one before needs. A bucket of
    /// the user's own may hold other things, which stay.
    pub async fn carry_out(&self, prepared: &Prepared, options: &CodeOptions) -> Result<Stack, Trouble> {
        let stack = self.stacks.carry_out(self.name, &prepared.set).await?;
        if options.code_bucket.is_none() {
            let there = prepared.bucket.list().await?;
            let old: Vec<_> = there.into_iter().filter(|key| !prepared.needed.contains(&key.0)).collect();
            prepared.bucket.remove(&old).await?;
        }
        Ok(stack)
    }

    /// Takes a prepared change back.
    pub async fn forget(&self, prepared: &Prepared) -> Result<(), Trouble> {
        self.stacks.forget(self.name, &prepared.set).await
    }
}
