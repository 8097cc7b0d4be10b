//! Millwright: opens a Core ML model (`.mlmodelc`, `.mlpackage`, `.mlmodel`), runs it, trains it and
//! writes it back, in this process and on Linux.
//!
//! ```no_run
//! use millwright::{Batch, CoreMLModelWrapper, LoadOptions, Settings, StudentModel};
//!
//! fn main() -> millwright::Result<()> {
//!     let model = CoreMLModelWrapper::load("student.mlpackage", &LoadOptions::default())?;
//!     let ids = model.tokenizer()?.encode("To be, or not to be, that is the question")?;
//!     let logits = model.forward(&ids)?; // [1, time, vocabulary]
//!     println!("{:?}", logits.shape());
//!
//!     let settings = Settings::new().with("learning_rate", 1e-3)?;
//!     let mut student = StudentModel::new(&model, &settings)?;
//!     let batch = Batch::next_tokens(&[ids])?;
//!     for _ in 0..20 {
//!         println!("loss {:.4}", student.training_step(&batch)?.loss);
//!     }
//!     student.save("student-trained.mlpackage")?;
//!     Ok(())
//! }
//! ```
//!
//! What fails gives an [`Error`]: one sentence that says what was expected, what came and what to
//! do. A whole run, from files of data to the written package, is [`train()`].
#![warn(missing_docs, unsafe_op_in_unsafe_fn)]

mod batch;
mod element;
mod error;
mod feature;
mod generate;
mod half;
mod handle;
mod model;
mod settings;
mod state;
mod student;
pub mod sys;
mod tensor;
mod text;
mod tokenizer;
mod train;

pub use batch::Batch;
pub use element::{DType, Data, Element};
pub use error::{Error, ErrorCode, Result};
pub use feature::Feature;
pub use generate::Generation;
pub use half::F16;
pub use model::{Compute, CoreMLModelWrapper, LoadOptions};
pub use settings::{Settings, Value};
pub use state::State;
pub use student::{DistillOptions, Gradients, Parameter, StepResult, StudentModel};
pub use tensor::{Tensor, TensorMap};
pub use tokenizer::{StreamDecoder, Tokenizer};
pub use train::{distill, train, TrainingProgress, TrainingReport, TrainingStep};

/// The version of the library that is linked.
pub fn version() -> String {
    // SAFETY: a constant text.
    unsafe { text::owned(sys::mw_version()) }
}

/// The pages' examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/rust.md")]
struct Page;
