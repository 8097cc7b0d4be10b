//! The C API as its headers declare it, a file each; `tests/headers.rs` compares them. What a
//! function does and asks for stands there.
#![allow(non_camel_case_types, missing_docs)]

macro_rules! opaque {
    ($($name:ident)*) => {
        $(
            #[repr(C)]
            pub struct $name {
                _private: [u8; 0],
            }
        )*
    };
}

mod features;
mod millwright;
mod tokenizer;
mod types;

pub use self::features::*;
pub use self::millwright::*;
pub use self::tokenizer::*;
pub use self::types::*;
