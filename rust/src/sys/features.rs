//! `millwright/features.h`.
use super::*;
use std::os::raw::{c_char, c_int};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_range {
    pub least: i64,
    pub most: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_shape {
    pub rank: usize,
    pub extents: *const i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_feature {
    pub name: *const c_char,
    pub kind: *const c_char,
    pub dtype: *const c_char,
    pub rank: usize,
    pub shape: *const i64,
    pub ranges: *const mw_range,
    pub range_count: usize,
    pub enumerated: *const mw_shape,
    pub enumerated_count: usize,
    pub optional: c_int,
    pub description: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_metadata {
    pub key: *const c_char,
    pub value: *const c_char,
}

extern "C" {
    pub fn mw_model_input_at(model: *const mw_model, index: usize) -> *const mw_feature;
    pub fn mw_model_output_at(model: *const mw_model, index: usize) -> *const mw_feature;
    pub fn mw_model_state_count(model: *const mw_model) -> usize;
    pub fn mw_model_state_at(model: *const mw_model, index: usize) -> *const mw_feature;
    pub fn mw_model_function(model: *const mw_model) -> *const c_char;
    pub fn mw_model_function_count(model: *const mw_model) -> usize;
    pub fn mw_model_function_at(model: *const mw_model, index: usize) -> *const c_char;
    pub fn mw_model_metadata_count(model: *const mw_model) -> usize;
    pub fn mw_model_metadata_at(model: *const mw_model, index: usize) -> *const mw_metadata;
}
