//! The example program, run as a person would.

mod common;

use common::{example, open, Folder};
use std::ffi::OsStr;
use std::process::{Command, Output};

/// Cargo builds examples beside the folder of the tests.
fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    let test = std::env::current_exe().unwrap();
    let examples = test.ancestors().nth(2).unwrap().join("examples");
    let program = Command::new(examples.join("train_in_process")).args(arguments).output();
    program.expect("the example, which `cargo build --examples` builds")
}

#[test]
fn it_trains_saves_and_writes() {
    let folder = Folder::new("example");
    let output = folder.join("tuned.mlpackage");
    let (model, text) = (example("model.mlpackage"), example("train.txt"));
    let told = run([model.as_os_str(), text.as_os_str(), output.as_os_str(), "3".as_ref()]);
    let lines = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{lines}{}", String::from_utf8_lossy(&told.stderr));
    let lines: Vec<&str> = lines.lines().collect();
    let loss = |line: &str, begin: &str| line.strip_prefix(begin).unwrap().parse::<f64>().unwrap();
    assert!(loss(lines[0], "step 1: loss ") < 4.0, "{}", lines[0]);
    assert!(loss(lines[1], "step 3: loss ") < 4.0, "{}", lines[1]);
    assert_eq!(lines[2], format!("saved {}", output.display()));
    assert!(lines[3].starts_with("First Citizen:"), "{}", lines[3]);
    assert_eq!(open(output).metadata()["millwright.trained_steps"], "3");
}

#[test]
fn it_ends_with_a_sentence() {
    let folder = Folder::new("example-refused");
    let output = folder.join("tuned.mlpackage");
    let short = folder.join("short.txt");
    std::fs::write(&short, "To be").unwrap();
    let (model, text) = (example("model.mlpackage"), example("train.txt"));
    for (arguments, sentence) in [
        (vec![], "usage: train_in_process MODEL TEXT OUTPUT [STEPS]"),
        (vec!["no.mlpackage".as_ref(), text.as_os_str(), output.as_os_str()], "no.mlpackage"),
        (
            vec![model.as_os_str(), text.as_os_str(), output.as_os_str(), "many".as_ref()],
            "STEPS: expected a whole number, got 'many'",
        ),
        (
            vec![model.as_os_str(), short.as_os_str(), output.as_os_str()],
            "the text: expected 520 ids, got 2",
        ),
    ] {
        let told = run(arguments);
        let said = String::from_utf8(told.stderr).unwrap();
        assert_eq!(told.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: ") && said.contains(sentence), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(!output.exists());
}
