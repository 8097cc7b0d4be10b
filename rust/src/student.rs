//! A model in training.

use crate::batch::Batch;
use crate::error::{check, Result};
use crate::handle::Handle;
use crate::model::CoreMLModelWrapper;
use crate::settings::Settings;
use crate::tensor::{given, given_one, Tensor, TensorMap, Views};
use crate::{sys, text};
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::null;

/// What a teacher counts.
#[derive(Clone, Debug, PartialEq)]
pub struct DistillOptions {
    /// Of both models' predictions, as they are compared.
    pub temperature: f32,
    /// The teacher's share of the loss; the rest is the labels'.
    pub alpha: f32,
    /// The teacher's output; none: its logits.
    pub target: Option<String>,
    /// A file that keeps the teacher's predictions.
    pub cache: Option<PathBuf>,
    /// Classes of a prediction that it keeps, the likeliest; 0: all.
    pub top_k: i64,
}

impl Default for DistillOptions {
    fn default() -> DistillOptions {
        DistillOptions { temperature: 2.0, alpha: 0.5, target: None, cache: None, top_k: 64 }
    }
}

/// What a step, or an evaluation, tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// 1 for the first.
    pub step: i64,
    /// Labels that count.
    pub tokens: i64,
    /// Mean over them.
    pub loss: f64,
    /// Of all gradients together, before clipping.
    pub grad_norm: f64,
    /// That the step took.
    pub learning_rate: f32,
}

/// What [`StudentModel::backward`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// Of the mean loss, in fp32: by parameter name, as `input.NAME` by input.
    pub tensors: TensorMap,
    /// The loss of the same batch.
    pub result: StepResult,
}

/// Something that can be trained, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As in the program.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Its dtype in the package: `fp16`, `fp32`, ...
    pub stored: String,
    /// Whether the student trains it.
    pub trained: bool,
    /// Why it is in or out.
    pub reason: String,
}

/// Trains a loaded model on its own weights, alone or distilled from a teacher. It keeps what it
/// needs of both models; they and their files stay as they are.
pub struct StudentModel(Handle<sys::mw_student>);

// SAFETY: a handle may be used from any thread, by one at a time: not `Sync`.
unsafe impl Send for StudentModel {}

impl StudentModel {
    /// The settings are those from `optimizer` to `lora_seed` in docs/settings.md.
    pub fn new(model: &CoreMLModelWrapper, settings: &Settings) -> Result<StudentModel> {
        // SAFETY: model and settings live during the call.
        Handle::made(|student| unsafe {
            sys::mw_student_create_with(model.get(), settings.get(), student)
        })
        .map(StudentModel)
    }

    /// Learns from a teacher's predictions as well. Its vocabulary must be the student's; to be
    /// called before the first step.
    pub fn set_teacher(
        &mut self,
        teacher: &CoreMLModelWrapper,
        options: &DistillOptions,
    ) -> Result<()> {
        let named = options.target.as_ref();
        let target = named.map(|name| text::c_string("teacher_target", name)).transpose()?;
        let cache = options.cache.as_deref().map(text::c_path).transpose()?;
        let options = sys::mw_distill_options {
            temperature: options.temperature,
            alpha: options.alpha,
            target: target.as_ref().map_or(null(), |name| name.as_ptr()),
            cache: cache.as_ref().map_or(null(), |path| path.as_ptr()),
            top_k: options.top_k,
        };
        // SAFETY: the teacher and the options live during the call.
        check(unsafe { sys::mw_student_set_teacher(self.0.get_mut(), teacher.get(), &options) })
    }

    /// Forward, backward and one update of the weights.
    pub fn training_step(&mut self, batch: &Batch) -> Result<StepResult> {
        self.training_step_over(std::slice::from_ref(batch))
    }

    /// One step over several batches, weighted by their labels.
    pub fn training_step_over(&mut self, batches: &[Batch]) -> Result<StepResult> {
        let views = batches.iter().map(Batch::views).collect::<Result<Vec<_>>>()?;
        let batches: Vec<_> = views.iter().map(batch_of).collect();
        told(|result| {
            // SAFETY: the views and what they borrow live during the call; so below.
            unsafe {
                sys::mw_student_step(self.0.get_mut(), batches.as_ptr(), batches.len(), result)
            }
        })
    }

    /// The gradients of the mean loss; nothing is updated.
    pub fn backward(&mut self, batch: &Batch) -> Result<Gradients> {
        let views = batch.views()?;
        let mut result = NO_RESULT;
        // SAFETY: as above.
        let tensors = given(|gradients| unsafe {
            let batch = batch_of(&views);
            sys::mw_student_backward(self.0.get_mut(), &batch, gradients, &mut result)
        })?;
        Ok(Gradients { tensors, result: result.into() })
    }

    /// The loss of a batch, without the teacher.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<StepResult> {
        let views = batch.views()?;
        // SAFETY: as above.
        told(|result| unsafe {
            sys::mw_student_evaluate(self.0.get_mut(), &batch_of(&views), result)
        })
    }

    /// What is minimised and over what, in one line; the batch tells the shapes.
    pub fn objective(&mut self, batch: &Batch) -> Result<String> {
        let views = batch.views()?;
        let mut line = null();
        // SAFETY: as above; the line is the student's until its next call.
        unsafe {
            check(sys::mw_student_objective(self.0.get_mut(), &batch_of(&views), &mut line))?;
            Ok(text::owned(line))
        }
    }

    /// Outputs with the weights as they are.
    pub fn predict<'a, N: AsRef<str>>(
        &mut self,
        inputs: impl IntoIterator<Item = (N, &'a Tensor)>,
    ) -> Result<TensorMap> {
        let views = Views::of(inputs)?;
        // SAFETY: as above.
        given(|outputs| unsafe {
            sys::mw_student_predict(self.0.get_mut(), views.pointer(), views.count(), outputs)
        })
    }

    /// The classes of a classifier, in the order of the indices that labels are; else none.
    pub fn class_labels(&self) -> Vec<String> {
        // SAFETY: the student lives, and these lists with it; so below.
        unsafe {
            let count = sys::mw_student_class_count(self.0.get());
            (0..count).map(|i| text::owned(sys::mw_student_class_at(self.0.get(), i))).collect()
        }
    }

    /// What the largest step so far takes, counted as for the setting `memory`; 0 before the first.
    pub fn step_bytes(&self) -> u64 {
        // SAFETY: as above.
        unsafe { sys::mw_student_step_bytes(self.0.get()) }
    }

    /// What there is to train, in the model's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        // SAFETY: as above.
        unsafe {
            let count = sys::mw_student_parameter_count(self.0.get());
            (0..count).map(|i| copied(&*sys::mw_student_parameter_at(self.0.get(), i))).collect()
        }
    }

    /// A copy of a trained parameter, in fp32.
    pub fn parameter(&self, name: &str) -> Result<Tensor> {
        let name = text::c_string("name of a parameter", name)?;
        // SAFETY: `name` lives during the call.
        given_one(|value| unsafe {
            sys::mw_student_get_parameter(self.0.get(), name.as_ptr(), value)
        })
    }

    /// Replaces a trained parameter by floats of its shape.
    pub fn set_parameter(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let views = Views::of([(name, value)])?;
        // SAFETY: the view lives during the call, which copies.
        check(unsafe { sys::mw_student_set_parameter(self.0.get_mut(), views.pointer()) })
    }

    /// All that training changes, by name: weights, moments, step.
    pub fn state(&self) -> Result<TensorMap> {
        // SAFETY: `state` is a place for the handle.
        given(|state| unsafe { sys::mw_student_state(self.0.get(), state) })
    }

    /// Goes on from what [`StudentModel::state`] gave, of a student with the same settings.
    pub fn load_state(&mut self, state: &TensorMap) -> Result<()> {
        let views = Views::of(state)?;
        // SAFETY: the views live during the call, which copies.
        check(unsafe {
            sys::mw_student_load_state(self.0.get_mut(), views.pointer(), views.count())
        })
    }

    /// Writes what [`StudentModel::state`] gives to a `.safetensors` file.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = text::c_path(path)?;
        // SAFETY: `path` lives during the call; so below.
        check(unsafe { sys::mw_student_save_checkpoint(self.0.get(), path.as_ptr()) })
    }

    /// Goes on from what [`StudentModel::save_checkpoint`] wrote, of a student with the same settings.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_load_checkpoint(self.0.get_mut(), path.as_ptr()) })
    }

    /// Writes the trained parameters by name, in fp32, to a `.safetensors` file.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_save_weights(self.0.get(), path.as_ptr()) })
    }

    /// Replaces the trained parameters that a `.safetensors` file names.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_load_weights(self.0.get_mut(), path.as_ptr()) })
    }

    /// Writes the adapters alone: a `.safetensors` file, or, by a name without an extension, a
    /// folder as Hugging Face PEFT has it.
    pub fn save_adapter(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_save_adapter(self.0.get(), path.as_ptr()) })
    }

    /// The same, where `module_names`, a `.safetensors` file of the model that the package was
    /// converted from, tells such a folder how the modules are called.
    pub fn save_adapter_named(
        &self,
        path: impl AsRef<Path>,
        module_names: impl AsRef<Path>,
    ) -> Result<()> {
        let (path, names) = (text::c_path(path)?, text::c_path(module_names)?);
        // SAFETY: as above.
        check(unsafe {
            sys::mw_student_save_adapter_named(self.0.get(), path.as_ptr(), names.as_ptr())
        })
    }

    /// Goes on from adapters, in either form.
    pub fn load_adapter(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_load_adapter(self.0.get_mut(), path.as_ptr()) })
    }

    /// Writes the package that the model came from, with the trained weights: an `.mlpackage` or
    /// `.mlmodelc`, by the name. Gives sentences about weights that the stored dtype could not hold.
    /// What the function shares with others of the package changes in all of them.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_save(self.0.get_mut(), path.as_ptr()) })?;
        Ok(self.warnings())
    }

    /// The same, where what is shared changes in this function alone.
    pub fn save_only_function(&mut self, path: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = text::c_path(path)?;
        // SAFETY: as above.
        check(unsafe { sys::mw_student_save_only_function(self.0.get_mut(), path.as_ptr()) })?;
        Ok(self.warnings())
    }

    fn warnings(&self) -> Vec<String> {
        // SAFETY: as for the classes.
        unsafe {
            let count = sys::mw_student_warning_count(self.0.get());
            (0..count).map(|i| text::owned(sys::mw_student_warning_at(self.0.get(), i))).collect()
        }
    }

    /// Sentences on what [`StudentModel::save`] does beside the function in training.
    pub fn notes(&self) -> Vec<String> {
        // SAFETY: as for the classes.
        unsafe {
            let count = sys::mw_student_note_count(self.0.get());
            (0..count).map(|i| text::owned(sys::mw_student_note_at(self.0.get(), i))).collect()
        }
    }
}

impl fmt::Debug for StudentModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StudentModel").finish_non_exhaustive()
    }
}

const NO_RESULT: sys::mw_step_result =
    sys::mw_step_result { step: 0, tokens: 0, loss: 0.0, grad_norm: 0.0, learning_rate: 0.0 };

impl From<sys::mw_step_result> for StepResult {
    fn from(result: sys::mw_step_result) -> StepResult {
        StepResult {
            step: result.step,
            tokens: result.tokens,
            loss: result.loss,
            grad_norm: result.grad_norm,
            learning_rate: result.learning_rate,
        }
    }
}

fn told(call: impl FnOnce(*mut sys::mw_step_result) -> sys::mw_status) -> Result<StepResult> {
    let mut result = NO_RESULT;
    check(call(&mut result))?;
    Ok(result.into())
}

fn batch_of(views: &Views<'_>) -> sys::mw_batch {
    sys::mw_batch { tensors: views.pointer(), count: views.count() }
}

/// # Safety
/// `parameter` is one that the library gave.
unsafe fn copied(parameter: &sys::mw_parameter) -> Parameter {
    // SAFETY: as the caller says; the header says what each field is.
    unsafe {
        let extent = |axis| usize::try_from(*parameter.shape.add(axis)).unwrap_or(0);
        Parameter {
            name: text::owned(parameter.name),
            shape: (0..parameter.rank).map(extent).collect(),
            stored: text::owned(parameter.stored),
            trained: parameter.trained != 0,
            reason: text::owned(parameter.reason),
        }
    }
}
