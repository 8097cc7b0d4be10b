//! `millwright/types.h`.
use std::os::raw::{c_char, c_uint, c_void};

pub type mw_status = c_uint;
pub const MW_OK: mw_status = 0;
pub const MW_INVALID_MODEL: mw_status = 1;
pub const MW_INVALID_ARGUMENT: mw_status = 2;
pub const MW_UNSUPPORTED: mw_status = 3;
pub const MW_IO: mw_status = 4;
pub const MW_OUT_OF_MEMORY: mw_status = 5;
pub const MW_INTERNAL: mw_status = 6;

pub type mw_dtype = c_uint;
pub const MW_BOOL: mw_dtype = 0;
pub const MW_FLOAT16: mw_dtype = 1;
pub const MW_FLOAT32: mw_dtype = 2;
pub const MW_FLOAT64: mw_dtype = 3;
pub const MW_INT8: mw_dtype = 4;
pub const MW_INT16: mw_dtype = 5;
pub const MW_INT32: mw_dtype = 6;
pub const MW_INT64: mw_dtype = 7;
pub const MW_UINT8: mw_dtype = 8;
pub const MW_UINT16: mw_dtype = 9;
pub const MW_UINT32: mw_dtype = 10;
pub const MW_UINT64: mw_dtype = 11;
pub const MW_STRING: mw_dtype = 12;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_tensor {
    pub name: *const c_char,
    pub dtype: mw_dtype,
    pub rank: usize,
    pub shape: *const i64,
    pub data: *const c_void,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_text {
    pub bytes: *const c_char,
    pub length: usize,
}

opaque!(mw_model mw_settings mw_state mw_outputs);

extern "C" {
    pub fn mw_text_free(text: *const mw_text);
}
