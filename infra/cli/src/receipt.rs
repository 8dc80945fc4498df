//! What this machine remembers of a fleet. It holds no secret, and all of it can be found again without it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::github::{Account, Place};
use crate::setup::Step;
use crate::trouble::Trouble;

/// The receipt of a stack.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The stack's name.
    pub stack: Option<String>,
    /// The bucket with the functions' code.
    pub bucket: Option<String>,
    /// The steps of `setup` that were carried out, each once, in order of the first time.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The App's id.
    pub app_id: Option<String>,
    /// Its name in addresses.
    pub app_slug: Option<String>,
    /// Whose App it is.
    pub owner: Option<String>,
    /// Whether that is an organisation.
    #[serde(default)]
    pub owner_is_organization: bool,
    /// The address of GitHub in a browser.
    pub github: Option<String>,
}

impl Receipt {
    /// Notes an App.
    pub fn set_app(&mut self, id: u64, slug: &str, owner: &Account, github: &Place) {
        self.app_id = Some(id.to_string());
        self.app_slug = Some(slug.to_owned());
        self.owner = Some(owner.login.clone());
        self.owner_is_organization = owner.kind == "Organization";
        self.github = Some(github.page("").to_string());
    }

    /// Notes a step.
    pub fn add_step(&mut self, step: Step) {
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
    }
}

/// Where the receipts are.
pub struct Receipts {
    folder: PathBuf,
    /// The name of each file, without its ending.
    name: String,
    stack: String,
}

impl Receipts {
    /// In the user's state folder, such as `~/.local/state/jitgate`.
    pub fn of(aws: &Aws, stack: &str) -> Result<Self, Trouble> {
        let home = etcetera::choose_base_strategy()
            .map_err(|_| Trouble::failed("this user has no home folder", "set HOME"))?;
        let folder = home.state_dir().unwrap_or_else(|| home.data_dir()).join("jitgate");
        Ok(Self { folder, name: format!("{}-{}-{stack}", aws.account, aws.region), stack: stack.to_owned() })
    }

    /// The receipt; an empty one if there is none, or none that can be read.
    pub fn read(&self) -> Receipt {
        let text = fs::read(self.path("json")).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Changes it, and leaves the rest as it is.
    pub fn note(&self, change: impl FnOnce(&mut Receipt)) -> Result<(), Trouble> {
        let mut receipt = Receipt { stack: Some(self.stack.clone()), ..self.read() };
        change(&mut receipt);
        let text = serde_json::to_vec_pretty(&receipt).map_err(|error| Trouble::bug(&error))?;
        self.keep("json", &text).map(|_| ())
    }

    /// The file of an App whose secret could not be stored.
    pub fn stranded(&self) -> PathBuf {
        self.path("app.json")
    }

    /// Writes a file that only this user can read, and returns where.
    pub fn keep(&self, ending: &str, text: &[u8]) -> Result<PathBuf, Trouble> {
        let path = self.path(ending);
        write_private(&self.folder, &path, text).map_err(|error| Trouble::file(&path, &error))?;
        Ok(path)
    }

    /// Removes what is there.
    pub fn forget(&self) {
        for ending in ["json", "app.json"] {
            let _ = fs::remove_file(self.path(ending));
        }
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }
}

/// Writes a new file and puts it in the place of the old one, so that nobody reads half of it.
fn write_private(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_receipt_is_for_this_user_alone_and_a_broken_one_is_as_good_as_none() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("jitgate");
        let receipts = Receipts { folder, name: "1-r-s".to_owned(), stack: "s".to_owned() };
        assert_eq!(receipts.read(), Receipt::default());
        let owner = Account { login: "acme".to_owned(), kind: "Organization".to_owned() };
        receipts.note(|receipt| receipt.bucket = Some("b".to_owned())).unwrap();
        receipts.note(|receipt| receipt.add_step(Step::CodeBucket)).unwrap();
        receipts.note(|receipt| receipt.set_app(7, "jitgate-1", &owner, &Place::default())).unwrap();
        receipts.note(|receipt| receipt.add_step(Step::MakeApp)).unwrap();
        receipts.note(|receipt| receipt.add_step(Step::CodeBucket)).unwrap();
        insta::assert_snapshot!(fs::read_to_string(receipts.path("json")).unwrap());
        assert_eq!(fs::metadata(receipts.path("json")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(receipts.path("json"), "{").unwrap();
        assert_eq!(receipts.read(), Receipt::default());
        receipts.forget();
        assert!(!receipts.path("json").exists());
    }
}
