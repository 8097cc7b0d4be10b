//! Elements of tensors.

use crate::error::{Error, Result};
use crate::half::F16;
use crate::sys;
use std::fmt;
use std::str::FromStr;

mod sealed {
    pub trait Sealed {}
}

/// A type that a tensor's elements can have.
pub trait Element: sealed::Sealed + Clone {
    /// Its name in the library.
    const DTYPE: DType;
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> Data;
    #[doc(hidden)]
    fn values(data: &Data) -> Option<&[Self]>;
    #[doc(hidden)]
    fn into_values(data: Data) -> Option<Vec<Self>>;
}

macro_rules! elements {
    ($($variant:ident $element:ident $name:literal $code:ident,)*) => {
        /// What a tensor's elements are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum DType {
            $($variant,)*
        }

        /// A tensor's elements, row by row.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Data {
            $($variant(Vec<$element>),)*
        }

        impl DType {
            /// As the library spells it: `fp16`, `int32`, ...
            pub fn name(self) -> &'static str {
                match self {
                    $(DType::$variant => $name,)*
                }
            }

            pub(crate) fn code(self) -> sys::mw_dtype {
                match self {
                    $(DType::$variant => sys::$code,)*
                }
            }

            pub(crate) fn of_code(code: sys::mw_dtype) -> Option<DType> {
                match code {
                    $(sys::$code => Some(DType::$variant),)*
                    _ => None,
                }
            }
        }

        impl FromStr for DType {
            type Err = Error;

            fn from_str(name: &str) -> Result<DType> {
                match name {
                    $($name => Ok(DType::$variant),)*
                    _ => Err(Error::argument(format!(
                        "dtype: expected one of {}, got '{name}'",
                        [$($name,)*].join(", ")
                    ))),
                }
            }
        }

        impl Data {
            /// What they are.
            pub fn dtype(&self) -> DType {
                match self {
                    $(Data::$variant(_) => DType::$variant,)*
                }
            }

            /// How many there are.
            pub fn len(&self) -> usize {
                match self {
                    $(Data::$variant(values) => values.len(),)*
                }
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        $(
            impl sealed::Sealed for $element {}

            impl Element for $element {
                const DTYPE: DType = DType::$variant;

                fn wrap(values: Vec<Self>) -> Data {
                    Data::$variant(values)
                }

                fn values(data: &Data) -> Option<&[Self]> {
                    match data {
                        Data::$variant(values) => Some(values),
                        _ => None,
                    }
                }

                fn into_values(data: Data) -> Option<Vec<Self>> {
                    match data {
                        Data::$variant(values) => Some(values),
                        _ => None,
                    }
                }
            }
        )*
    };
}

elements! {
    Bool bool "bool" MW_BOOL,
    F16 F16 "fp16" MW_FLOAT16,
    F32 f32 "fp32" MW_FLOAT32,
    F64 f64 "fp64" MW_FLOAT64,
    I8 i8 "int8" MW_INT8,
    I16 i16 "int16" MW_INT16,
    I32 i32 "int32" MW_INT32,
    I64 i64 "int64" MW_INT64,
    U8 u8 "uint8" MW_UINT8,
    U16 u16 "uint16" MW_UINT16,
    U32 u32 "uint32" MW_UINT32,
    U64 u64 "uint64" MW_UINT64,
    String String "string" MW_STRING,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
