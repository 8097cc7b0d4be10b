//! What the tests share: where the models are, and folders of their own.
#![allow(dead_code)] // not every test uses all of it

use millwright::{Batch, CoreMLModelWrapper, LoadOptions, Settings, StudentModel, Tensor};
use std::path::{Path, PathBuf};

/// A file of the tree that the crate stands in: cargo says where, since a build may have moved.
pub fn tree(name: &str) -> PathBuf {
    let moved = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    moved.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).join("..").join(name)
}

pub fn example(name: &str) -> PathBuf {
    tree("examples/shakespeare").join(name)
}

pub fn package(name: &str) -> PathBuf {
    tree("tests/data/packages").join(name).with_extension("mlpackage")
}

pub fn open(path: impl AsRef<Path>) -> CoreMLModelWrapper {
    CoreMLModelWrapper::load(path, &LoadOptions::default()).unwrap()
}

pub fn student(settings: &Settings) -> StudentModel {
    StudentModel::new(&open(example("student.mlpackage")), settings).unwrap()
}

/// Two rows of ids, each to be followed by the next.
pub fn batch() -> Batch {
    let rows: Vec<Vec<i32>> =
        (0..2).map(|row| (0..9).map(|i| 1 + 37 * (8 * row + i) % 1000).collect()).collect();
    Batch::next_tokens(&rows).unwrap()
}

/// `count` numbers from 0 on, in steps of an eighth.
pub fn eighths(shape: [usize; 2]) -> Tensor {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|i| i as f32 / 8.0).collect();
    Tensor::new(shape, values).unwrap()
}

/// A folder that is removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mw-rust-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
