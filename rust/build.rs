//! Finds libmillwright.so: where MILLWRIGHT_LIB_DIR says, in the build/ of the tree that this crate
//! stands in, or where pkg-config knows it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

const LIBRARY: &str = "libmillwright.so";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MILLWRIGHT_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let folder = find().unwrap_or_else(|sentence| {
        eprintln!("error: {sentence}");
        exit(1)
    });
    let shown = folder.display();
    println!("cargo:rerun-if-changed={}", folder.join(LIBRARY).display());
    println!("cargo:rustc-link-search=native={shown}");
    println!("cargo:rustc-link-lib=dylib=millwright");
    // Of this crate's own tests and examples. A crate that depends on it finds the folder in
    // DEP_MILLWRIGHT_LIB_DIR.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{shown}");
    println!("cargo:lib_dir={shown}");
}

fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("MILLWRIGHT_LIB_DIR") {
        return holds_library(Path::new(&named)).ok_or_else(|| {
            let named = Path::new(&named).display();
            format!("MILLWRIGHT_LIB_DIR: expected a folder that holds {LIBRARY}, got '{named}'")
        });
    }
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/src/api");
    holds_library(&tree).or_else(installed).ok_or_else(|| {
        let tree = tree.display();
        format!(
            "{LIBRARY}: not in '{tree}', and pkg-config knows no millwright; \
             build it with `make`, or set MILLWRIGHT_LIB_DIR to its folder"
        )
    })
}

fn holds_library(folder: &Path) -> Option<PathBuf> {
    folder.join(LIBRARY).exists().then(|| folder.canonicalize().ok()).flatten()
}

fn installed() -> Option<PathBuf> {
    let tool = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let answer = Command::new(tool).args(["--variable=libdir", "millwright"]).output().ok()?;
    let folder = String::from_utf8(answer.stdout).ok()?;
    Some(folder.trim()).filter(|f| !f.is_empty()).and_then(|f| holds_library(Path::new(f)))
}
