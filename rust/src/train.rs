//! Whole runs, from files of data to the written package.

use crate::error::Result;
use crate::handle::Handle;
use crate::model::CoreMLModelWrapper;
use crate::settings::Settings;
use crate::{sys, text};
use std::any::Any;
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::PathBuf;

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingStep {
    /// 0: before the first, with a validation loss only.
    pub step: i64,
    /// Labels that counted.
    pub tokens: i64,
    /// Mean over them.
    pub loss: Option<f64>,
    /// Where it was taken.
    pub valid_loss: Option<f64>,
    /// Of all gradients together, before clipping.
    pub grad_norm: Option<f64>,
    /// That the step took.
    pub learning_rate: Option<f64>,
    /// That it lasted.
    pub seconds: f64,
}

/// What a run tells after each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingProgress {
    /// The step.
    pub taken: TrainingStep,
    /// That the run is to take.
    pub steps: i64,
    /// The last one taken.
    pub valid_loss: Option<f64>,
    /// Tokens of a text, else examples.
    pub per_second: f64,
    /// Until the end, at this pace.
    pub seconds_left: f64,
}

/// What a run tells at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingReport {
    /// By the function that is told of its progress.
    pub interrupted: bool,
    /// Out of patience.
    pub stopped_early: bool,
    /// The last one, counted from the beginning of the training.
    pub step: i64,
    /// Whose weights were written.
    pub written_step: i64,
    /// Of the best validation.
    pub best_step: i64,
    /// Labels that counted, all steps together.
    pub tokens: i64,
    /// Of the last step.
    pub loss: Option<f64>,
    /// Of the last validation.
    pub valid_loss: Option<f64>,
    /// Of the best validation.
    pub best_loss: Option<f64>,
    /// Of the test data.
    pub test_loss: Option<f64>,
    /// Of all steps together.
    pub seconds: f64,
    /// Over them.
    pub tokens_per_second: f64,
    /// As [`StudentModel::step_bytes`](crate::StudentModel::step_bytes).
    pub step_bytes: u64,
    /// Numbers that are trained.
    pub trained_numbers: i64,
    /// Numbers of the model, or of its adapters.
    pub all_numbers: i64,
    /// What was minimised; empty: no step was left to do.
    pub objective: String,
    /// The package that was written.
    pub output: Option<PathBuf>,
    /// The adapters that were written.
    pub adapter: Option<PathBuf>,
    /// The last one.
    pub checkpoint: Option<PathBuf>,
    /// The report as a page.
    pub html: Option<PathBuf>,
    /// Of the whole training.
    pub steps: Vec<TrainingStep>,
    /// What is trained and minimised, where it went on from, what was left out.
    pub notes: Vec<String>,
    /// About weights that the stored dtype could not hold.
    pub warnings: Vec<String>,
}

/// What `millwright train` does, with the same bits: reads the data, trains, validates, keeps
/// checkpoints, writes the package and a report. The settings are those of training in
/// docs/settings.md; `data`, `output` and `steps` are the first to set.
///
/// `progress` is told after each step, in this thread. Where it breaks, the run stops: a checkpoint
/// and the report are written, no package, and with the setting `resume` it goes on. Where it
/// panics, the run ends in the same way and the panic goes on from here.
pub fn train(
    model: &CoreMLModelWrapper,
    settings: &Settings,
    progress: impl FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<TrainingReport> {
    run(progress, |tell, user, report| {
        // SAFETY: model and settings live during the call; `tell` takes what `user` points to.
        unsafe { sys::mw_train(model.get(), settings.get(), tell, user, report) }
    })
}

/// The same, where the student learns from a teacher's predictions as well; settings `temperature`,
/// `alpha` and `teacher_target`.
pub fn distill(
    student: &CoreMLModelWrapper,
    teacher: &CoreMLModelWrapper,
    settings: &Settings,
    progress: impl FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<TrainingReport> {
    run(progress, |tell, user, report| {
        // SAFETY: as above.
        unsafe { sys::mw_distill(student.get(), teacher.get(), settings.get(), tell, user, report) }
    })
}

/// The caller's function, and what it panicked with: nothing unwinds through C.
struct Told<F> {
    progress: F,
    panic: Option<Box<dyn Any + Send>>,
}

fn run<F: FnMut(&TrainingProgress) -> ControlFlow<()>>(
    progress: F,
    call: impl FnOnce(
        sys::mw_tell_progress,
        *mut c_void,
        *mut *const sys::mw_training_report,
    ) -> sys::mw_status,
) -> Result<TrainingReport> {
    let mut told = Told { progress, panic: None };
    let user: *mut Told<F> = &mut told;
    let report = Handle::made(|report: *mut *mut sys::mw_training_report| {
        call(Some(tell::<F>), user.cast(), report.cast())
    });
    if let Some(panic) = told.panic {
        drop(report);
        resume_unwind(panic);
    }
    // SAFETY: the report lives until the end.
    report.map(|report| unsafe { TrainingReport::copied(&*report.get()) })
}

/// # Safety
/// `progress` is one of the library's, `user` what [`run`] passed on, borrowed by nobody else.
unsafe extern "C" fn tell<F: FnMut(&TrainingProgress) -> ControlFlow<()>>(
    progress: *const sys::mw_training_progress,
    user: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let (progress, told) = unsafe { (&*progress, &mut *user.cast::<Told<F>>()) };
    let progress = TrainingProgress {
        taken: step_of(&progress.taken),
        steps: progress.steps,
        valid_loss: number_of(progress.valid_loss),
        per_second: progress.per_second,
        seconds_left: progress.seconds_left,
    };
    match catch_unwind(AssertUnwindSafe(|| (told.progress)(&progress))) {
        Ok(ControlFlow::Continue(())) => 0,
        Ok(ControlFlow::Break(())) => 1,
        Err(panic) => {
            told.panic = Some(panic);
            1
        }
    }
}

/// NaN stands for what was not taken.
fn number_of(value: f64) -> Option<f64> {
    Some(value).filter(|value| !value.is_nan())
}

fn step_of(step: &sys::mw_training_step) -> TrainingStep {
    TrainingStep {
        step: step.step,
        tokens: step.tokens,
        loss: number_of(step.loss),
        valid_loss: number_of(step.valid_loss),
        grad_norm: number_of(step.grad_norm),
        learning_rate: number_of(step.learning_rate),
        seconds: step.seconds,
    }
}

impl TrainingReport {
    /// # Safety
    /// `report` is one that the library gave.
    unsafe fn copied(report: &sys::mw_training_report) -> TrainingReport {
        // SAFETY: as the caller says; the header says what each field is.
        unsafe {
            TrainingReport {
                interrupted: report.interrupted != 0,
                stopped_early: report.stopped_early != 0,
                step: report.step,
                written_step: report.written_step,
                best_step: report.best_step,
                tokens: report.tokens,
                loss: number_of(report.loss),
                valid_loss: number_of(report.valid_loss),
                best_loss: number_of(report.best_loss),
                test_loss: number_of(report.test_loss),
                seconds: report.seconds,
                tokens_per_second: report.tokens_per_second,
                step_bytes: report.step_bytes,
                trained_numbers: report.trained_numbers,
                all_numbers: report.all_numbers,
                objective: text::owned(report.objective),
                output: text::owned_path(report.output),
                adapter: text::owned_path(report.adapter),
                checkpoint: text::owned_path(report.checkpoint),
                html: text::owned_path(report.html),
                steps: (0..report.step_count).map(|i| step_of(&*report.steps.add(i))).collect(),
                notes: text::owned_all(report.notes, report.note_count),
                warnings: text::owned_all(report.warnings, report.warning_count),
            }
        }
    }
}
