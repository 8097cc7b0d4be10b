//! Whole runs: reports, progress, stopping, going on, panics of the function that is told.

mod common;

use common::{example, open, Folder};
use millwright::{distill, train, ErrorCode, Settings, TrainingProgress};
use std::ops::ControlFlow;
use std::panic::{catch_unwind, AssertUnwindSafe};

fn settings(folder: &Folder) -> Settings {
    let mut settings = Settings::new();
    settings.set("data", example("valid.txt")).unwrap();
    settings.set("output", folder.join("out.mlpackage")).unwrap();
    settings.set("steps", 4).unwrap().set("batch_size", 2).unwrap().set("seq_len", 16).unwrap();
    settings
}

fn go_on(_: &TrainingProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_run_tells_of_each_step_and_reports() {
    let folder = Folder::new("train");
    let model = open(example("student.mlpackage"));
    let mut told = Vec::new();
    let report = train(&model, &settings(&folder), |progress| {
        told.push(*progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(told.len(), 4);
    for (i, progress) in told.iter().enumerate() {
        assert_eq!((progress.taken.step, progress.steps), (i as i64 + 1, 4));
        assert_eq!(progress.taken.tokens, 32);
        assert!(progress.taken.loss.unwrap() > 0.0);
        assert_eq!(progress.valid_loss, None);
    }
    assert!(!report.interrupted && !report.stopped_early);
    assert_eq!((report.step, report.written_step, report.tokens), (4, 4, 128));
    let losses: Vec<_> = report.steps.iter().map(|step| step.loss).collect();
    assert_eq!(losses, told.iter().map(|progress| progress.taken.loss).collect::<Vec<_>>());
    assert_eq!(report.loss, losses[3]);
    assert_eq!((report.valid_loss, report.test_loss), (None, None));
    assert!(report.objective.starts_with("cross entropy of"), "{}", report.objective);
    assert!(report.tokens_per_second > 0.0 && report.step_bytes > 0);
    assert!(!report.notes.is_empty());
    assert_eq!(report.output, Some(folder.join("out.mlpackage")));
    assert_eq!(report.adapter, None);
    for file in [&report.html, &report.checkpoint] {
        assert!(file.as_ref().unwrap().exists());
    }
    let trained = open(report.output.unwrap());
    assert_eq!(trained.metadata()["millwright.trained_steps"], "4");
    assert_eq!(trained.forward(&[1, 2, 3]).unwrap().shape(), [1, 3, 1024]);
}

#[test]
fn a_run_that_was_stopped_goes_on() {
    let folder = Folder::new("stop");
    let model = open(example("student.mlpackage"));
    let stopped = train(&model, &settings(&folder), |progress| match progress.taken.step {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .unwrap();
    assert!(stopped.interrupted);
    assert_eq!((stopped.step, stopped.output), (2, None));
    assert!(!folder.join("out.mlpackage").exists());
    let error = train(&model, &settings(&folder), go_on).unwrap_err();
    assert!(error.message().contains("resume goes on with it"), "{error}");
    let resumed = settings(&folder).with("resume", true).unwrap();
    let report = train(&model, &resumed, go_on).unwrap();
    assert_eq!((report.step, report.steps.len()), (4, 4));
    let other = Folder::new("whole");
    let whole = train(&model, &settings(&other), go_on).unwrap();
    assert_eq!(report.loss, whole.loss);
}

#[test]
fn a_panic_ends_the_run_and_goes_on_from_it() {
    let folder = Folder::new("panic");
    let model = open(example("student.mlpackage"));
    let mut calls = 0;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        train(&model, &settings(&folder), |_| -> ControlFlow<()> {
            calls += 1;
            std::panic::resume_unwind(Box::new("the window is closed")); // without a message on stderr
        })
    }))
    .unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the window is closed"));
    assert_eq!(calls, 1);
    assert!(!folder.join("out.mlpackage").exists());
    assert!(folder.join("out.run/step-00000001.safetensors").exists());
    let resumed = settings(&folder).with("resume", true).unwrap();
    assert_eq!(train(&model, &resumed, go_on).unwrap().step, 4);
}

#[test]
fn a_teacher_is_learnt_from() {
    let folder = Folder::new("distill");
    let (student, teacher) = (open(example("student.mlpackage")), open(example("model.mlpackage")));
    let alone = train(&student, &settings(&folder), go_on).unwrap();
    let settings = settings(&folder).with("overwrite", true).unwrap();
    let settings = settings.with("temperature", 3).unwrap().with("alpha", 0.9).unwrap();
    let taught = distill(&student, &teacher, &settings, go_on).unwrap();
    assert_eq!(taught.steps.len(), 4);
    assert!((taught.steps[0].loss.unwrap() - alone.steps[0].loss.unwrap()).abs() > 1e-3);
}

#[test]
fn what_does_not_fit_is_refused_by_the_settings_name() {
    let folder = Folder::new("refused");
    let model = open(example("student.mlpackage"));
    let long = settings(&folder).with("seq_len", 4096).unwrap();
    let error = train(&model, &long, go_on).unwrap_err();
    assert_eq!((error.code(), error.setting()), (ErrorCode::InvalidArgument, Some("seq_len")));
    let error = train(&model, &Settings::new(), go_on).unwrap_err();
    assert_eq!(error.setting(), Some("output"), "{error}");
}
