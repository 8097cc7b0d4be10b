//! A loaded model.

use crate::error::Result;
use crate::feature::Feature;
use crate::handle::Handle;
use crate::settings::Settings;
use crate::state::State;
use crate::tensor::{given, given_one, Tensor, TensorMap, Views};
use crate::tokenizer::Tokenizer;
use crate::{sys, text};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

/// What floats inside a model are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compute {
    /// The usual.
    #[default]
    Fp32,
    /// Slow and exact.
    Fp64,
    /// fp32 arithmetic, every fp16 value of the file rounded to fp16, as a device would.
    Fp16,
    /// What is multiplied and what weights make of it in bf16; all sums and the rest in fp32.
    Bf16,
}

/// How a model is opened; [`CoreMLModelWrapper::load_with`] takes all settings there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadOptions {
    /// Of a package with several functions; none: its default.
    pub function: Option<String>,
    /// What floats are computed in.
    pub compute: Compute,
    /// What computes; none: `cpu`.
    pub device: Option<String>,
    /// 0: all cores.
    pub threads: u32,
    /// A tokenizer.json or its folder; none: the one in or beside the model.
    pub tokenizer: Option<PathBuf>,
    /// What [`StudentModel::save_adapter`](crate::StudentModel::save_adapter) or Hugging Face PEFT
    /// wrote.
    pub adapter: Option<PathBuf>,
}

impl LoadOptions {
    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new();
        let compute = match self.compute {
            Compute::Fp32 => "fp32",
            Compute::Fp64 => "fp64",
            Compute::Fp16 => "fp16",
            Compute::Bf16 => "bf16",
        };
        settings.set("compute", compute)?.set("threads", self.threads)?;
        for (name, text) in [("function", &self.function), ("device", &self.device)] {
            if let Some(text) = text {
                settings.set(name, text.as_str())?;
            }
        }
        for (name, path) in [("tokenizer", &self.tokenizer), ("adapter", &self.adapter)] {
            if let Some(path) = path {
                settings.set(name, path)?;
            }
        }
        Ok(settings)
    }
}

/// A loaded Core ML model: describes itself and predicts. Several threads may use it at once.
pub struct CoreMLModelWrapper {
    handle: Handle<sys::mw_model>,
    path: PathBuf,
}

// SAFETY: the header lets several threads use a model at once, whichever made it.
unsafe impl Send for CoreMLModelWrapper {}
// SAFETY: as above.
unsafe impl Sync for CoreMLModelWrapper {}

impl CoreMLModelWrapper {
    /// Opens an `.mlmodelc` or `.mlpackage` folder, or an `.mlmodel` file.
    pub fn load(path: impl AsRef<Path>, options: &LoadOptions) -> Result<CoreMLModelWrapper> {
        CoreMLModelWrapper::load_with(path, &options.settings()?)
    }

    /// The same with settings by name.
    pub fn load_with(path: impl AsRef<Path>, settings: &Settings) -> Result<CoreMLModelWrapper> {
        let path = path.as_ref();
        let name = text::c_path(path)?;
        // SAFETY: `name` and `settings` live during the call.
        let handle = Handle::made(|model| unsafe {
            sys::mw_model_load_with(name.as_ptr(), settings.get(), model)
        })?;
        Ok(CoreMLModelWrapper { handle, path: path.to_owned() })
    }

    /// Named tensors in, all outputs out. Integers and floats are converted where no value changes
    /// its meaning. A model with states asks for [`CoreMLModelWrapper::predict_with`].
    pub fn predict<'a, N: AsRef<str>>(
        &self,
        inputs: impl IntoIterator<Item = (N, &'a Tensor)>,
    ) -> Result<TensorMap> {
        self.run(inputs, null_mut())
    }

    /// The same with the model's states, which it reads and changes.
    pub fn predict_with<'a, N: AsRef<str>>(
        &self,
        inputs: impl IntoIterator<Item = (N, &'a Tensor)>,
        state: &mut State,
    ) -> Result<TensorMap> {
        self.run(inputs, state.get_mut())
    }

    fn run<'a, N: AsRef<str>>(
        &self,
        inputs: impl IntoIterator<Item = (N, &'a Tensor)>,
        state: *mut sys::mw_state,
    ) -> Result<TensorMap> {
        let views = Views::of(inputs)?;
        // SAFETY: the views and what they borrow live during the call; `state` is null or borrowed
        // for it alone.
        given(|outputs| unsafe {
            sys::mw_model_predict(self.get(), state, views.pointer(), views.count(), outputs)
        })
    }

    /// Of a language model: token ids to logits `[1, time, vocabulary]` in fp32, or
    /// `[1, 1, vocabulary]` where the model gives those of the last token only. Masks, positions and
    /// caches are made.
    pub fn forward(&self, ids: &[i32]) -> Result<Tensor> {
        self.forward_batch(&Tensor::new([1, ids.len()], ids)?)
    }

    /// The same of ids `[batch, time]`.
    pub fn forward_batch(&self, ids: &Tensor) -> Result<Tensor> {
        let views = Views::of([("input_ids", ids)])?;
        // SAFETY: the view and what it borrows live during the call.
        given_one(|logits| unsafe { sys::mw_model_forward(self.get(), views.pointer(), logits) })
    }

    /// States of the model, all zeros: one per conversation.
    pub fn make_state(&self) -> Result<State> {
        // SAFETY: `state` is a place for the handle.
        Handle::made(|state| unsafe { sys::mw_model_make_state(self.get(), state) }).map(State::new)
    }

    /// The tokenizer that was named, or that is in or beside the model.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        // SAFETY: `tokenizer` is a place for the handle.
        Handle::made(|tokenizer| unsafe { sys::mw_model_tokenizer(self.get(), tokenizer) })
            .map(Tokenizer::new)
    }

    /// What it takes.
    pub fn inputs(&self) -> Vec<Feature> {
        // SAFETY: the model lives, and its descriptions with it; so below.
        (0..)
            .map_while(|i| unsafe { Feature::copied(sys::mw_model_input_at(self.get(), i)) })
            .collect()
    }

    /// What it gives.
    pub fn outputs(&self) -> Vec<Feature> {
        // SAFETY: as above.
        (0..)
            .map_while(|i| unsafe { Feature::copied(sys::mw_model_output_at(self.get(), i)) })
            .collect()
    }

    /// What it keeps between predictions.
    pub fn states(&self) -> Vec<Feature> {
        // SAFETY: as above.
        (0..)
            .map_while(|i| unsafe { Feature::copied(sys::mw_model_state_at(self.get(), i)) })
            .collect()
    }

    /// The function that was opened.
    pub fn function(&self) -> String {
        // SAFETY: as above.
        unsafe { text::owned(sys::mw_model_function(self.get())) }
    }

    /// All functions of the package.
    pub fn functions(&self) -> Vec<String> {
        // SAFETY: as above.
        unsafe {
            let count = sys::mw_model_function_count(self.get());
            (0..count).map(|i| text::owned(sys::mw_model_function_at(self.get(), i))).collect()
        }
    }

    /// What the author wrote into the file: entries of his, `shortDescription`, `author`, `license`,
    /// `version`.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        // SAFETY: as above.
        unsafe {
            (0..sys::mw_model_metadata_count(self.get()))
                .map(|i| *sys::mw_model_metadata_at(self.get(), i))
                .map(|entry| (text::owned(entry.key), text::owned(entry.value)))
                .collect()
        }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn get(&self) -> *const sys::mw_model {
        self.handle.get()
    }
}

impl fmt::Debug for CoreMLModelWrapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreMLModelWrapper")
            .field("path", &self.path)
            .field("function", &self.function())
            .finish_non_exhaustive()
    }
}
