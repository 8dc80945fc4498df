//! Puts the functions' zips into the binary, if `JITGATE_ZIPS` names the folder that has them, as release builds do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=JITGATE_ZIPS");
    let mut list = String::from("&[");
    if let Ok(folder) = env::var("JITGATE_ZIPS") {
        println!("cargo::rerun-if-changed={folder}");
        for zip in zips(Path::new(&folder)) {
            let name = zip.file_name().and_then(|name| name.to_str()).expect("a zip's name is text");
            let path = zip.canonicalize().expect("the zip is there");
            let path = path.to_str().expect("the folder's name is text");
            write!(list, "({name:?}, include_bytes!({path:?})),").expect("a string takes everything");
        }
    }
    list.push(']');
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("zips.rs"), list).expect("cargo's own folder can be written to");
}

fn zips(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("JITGATE_ZIPS={}: {error}", folder.display()));
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "zip"));
    found.sort();
    found
}
