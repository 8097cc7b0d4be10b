//! Tensors that own their elements, and their way to C and back.

use crate::element::{DType, Data, Element};
use crate::error::{Error, Result};
use crate::half::F16;
use crate::handle::Handle;
use crate::{sys, text};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::marker::PhantomData;
use std::os::raw::{c_char, c_void};

/// Tensors by name.
pub type TensorMap = BTreeMap<String, Tensor>;

/// A dense array, row by row.
///
/// ```
/// # fn main() -> millwright::Result<()> {
/// let x = millwright::Tensor::new([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(x.values::<f32>()?[5], 6.0);
/// assert_eq!(
///     x.values::<i32>().unwrap_err().to_string(),
///     "tensor: expected elements of int32, got fp32"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// As many values as the shape has elements.
    pub fn new<T: Element>(
        shape: impl Into<Vec<usize>>,
        values: impl Into<Vec<T>>,
    ) -> Result<Tensor> {
        Tensor::from_data(shape, T::wrap(values.into()))
    }

    /// The same of elements whose type is known only at run time.
    pub fn from_data(shape: impl Into<Vec<usize>>, data: Data) -> Result<Tensor> {
        let shape = shape.into();
        let count = shape.iter().try_fold(1usize, |all, extent| all.checked_mul(*extent));
        if count != Some(data.len()) {
            return Err(Error::argument(format!(
                "tensor: expected as many values as shape {shape:?} has elements, got {}",
                data.len()
            )));
        }
        Ok(Tensor { shape, data })
    }

    /// One value, of no axes.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor { shape: Vec::new(), data: T::wrap(vec![value]) }
    }

    /// What its elements are.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Its extents, the outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Its elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Its elements, where they are of this type; [`Tensor::to_f32`] converts.
    pub fn values<T: Element>(&self) -> Result<&[T]> {
        T::values(&self.data).ok_or_else(|| self.is_not::<T>())
    }

    /// The same without a copy.
    pub fn into_values<T: Element>(self) -> Result<Vec<T>> {
        if self.dtype() != T::DTYPE {
            return Err(self.is_not::<T>());
        }
        Ok(T::into_values(self.data).unwrap_or_default())
    }

    /// Its elements as numbers, of any dtype but strings. Integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        fn all<T: Copy>(values: &[T], convert: impl Fn(T) -> f64) -> Vec<f64> {
            values.iter().map(|value| convert(*value)).collect()
        }
        Ok(match &self.data {
            Data::Bool(values) => all(values, |value| f64::from(u8::from(value))),
            Data::F16(values) => all(values, |value: F16| value.to_f32().into()),
            Data::F32(values) => all(values, f64::from),
            Data::F64(values) => values.clone(),
            Data::I8(values) => all(values, f64::from),
            Data::I16(values) => all(values, f64::from),
            Data::I32(values) => all(values, f64::from),
            Data::I64(values) => all(values, |value| value as f64),
            Data::U8(values) => all(values, f64::from),
            Data::U16(values) => all(values, f64::from),
            Data::U32(values) => all(values, f64::from),
            Data::U64(values) => all(values, |value| value as f64),
            Data::String(_) => return Err(Error::argument("tensor: expected numbers, got string")),
        })
    }

    /// The same, rounded to fp32.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        match &self.data {
            Data::F32(values) => Ok(values.clone()),
            _ => Ok(self.to_f64()?.into_iter().map(|value| value as f32).collect()),
        }
    }

    fn is_not<T: Element>(&self) -> Error {
        Error::argument(format!("tensor: expected elements of {}, got {}", T::DTYPE, self.dtype()))
    }

    /// Null for strings, which C takes none of.
    fn elements(&self) -> *const c_void {
        match &self.data {
            Data::Bool(values) => values.as_ptr().cast(),
            Data::F16(values) => values.as_ptr().cast(),
            Data::F32(values) => values.as_ptr().cast(),
            Data::F64(values) => values.as_ptr().cast(),
            Data::I8(values) => values.as_ptr().cast(),
            Data::I16(values) => values.as_ptr().cast(),
            Data::I32(values) => values.as_ptr().cast(),
            Data::I64(values) => values.as_ptr().cast(),
            Data::U8(values) => values.as_ptr().cast(),
            Data::U16(values) => values.as_ptr().cast(),
            Data::U32(values) => values.as_ptr().cast(),
            Data::U64(values) => values.as_ptr().cast(),
            Data::String(_) => std::ptr::null(),
        }
    }
}

/// Tensors as C sees them, while what they are views of is borrowed.
pub(crate) struct Views<'a> {
    views: Vec<sys::mw_tensor>,
    // What `views` points to beside the elements.
    _names: Vec<CString>,
    _shapes: Vec<Vec<i64>>,
    _tensors: PhantomData<&'a Tensor>,
}

impl<'a> Views<'a> {
    pub(crate) fn of<N: AsRef<str>>(
        tensors: impl IntoIterator<Item = (N, &'a Tensor)>,
    ) -> Result<Views<'a>> {
        let (mut views, mut names, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
        for (name, tensor) in tensors {
            let name = text::c_string("name of a tensor", name.as_ref())?;
            // An extent is at most isize::MAX bytes, unless there is no element at all.
            let shape: Vec<i64> =
                tensor.shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
            views.push(sys::mw_tensor {
                name: name.as_ptr(),
                dtype: tensor.dtype().code(),
                rank: shape.len(),
                shape: shape.as_ptr(),
                data: tensor.elements(),
            });
            names.push(name);
            shapes.push(shape);
        }
        Ok(Views { views, _names: names, _shapes: shapes, _tensors: PhantomData })
    }

    pub(crate) fn pointer(&self) -> *const sys::mw_tensor {
        self.views.as_ptr()
    }

    pub(crate) fn count(&self) -> usize {
        self.views.len()
    }
}

/// Copies of all that a call gave.
pub(crate) fn given(
    make: impl FnOnce(*mut *mut sys::mw_outputs) -> sys::mw_status,
) -> Result<TensorMap> {
    let outputs = Handle::made(make)?;
    // SAFETY: `outputs` lives until the end, and what lies in it with it.
    unsafe {
        (0..sys::mw_outputs_count(outputs.get()))
            .map(|i| copied(&*sys::mw_outputs_at(outputs.get(), i)))
            .collect()
    }
}

/// The same of a call that gives one tensor.
pub(crate) fn given_one(
    make: impl FnOnce(*mut *mut sys::mw_outputs) -> sys::mw_status,
) -> Result<Tensor> {
    let all = given(make)?;
    all.into_values().next().ok_or_else(|| Error::internal("a call that gives a tensor gave none"))
}

/// # Safety
/// `tensor` is one that the library made.
unsafe fn copied(tensor: &sys::mw_tensor) -> Result<(String, Tensor)> {
    // SAFETY: as the caller says; the header says what each field is.
    unsafe {
        let name = text::owned(tensor.name);
        let extents = (0..tensor.rank).map(|axis| usize::try_from(*tensor.shape.add(axis)));
        let shape = extents
            .collect::<std::result::Result<Vec<usize>, _>>()
            .map_err(|_| Error::internal(format!("output '{name}' has a negative extent")))?;
        let count = shape.iter().product();
        let dtype = DType::of_code(tensor.dtype).ok_or_else(|| {
            Error::internal(format!("output '{name}' has dtype code {}", tensor.dtype))
        })?;
        let data = match dtype {
            // Not by way of a slice of bool, which holds nothing but 0 and 1.
            DType::Bool => {
                let bytes: Vec<u8> = elements(tensor, count);
                Data::Bool(bytes.into_iter().map(|byte| byte != 0).collect())
            }
            DType::F16 => Data::F16(elements(tensor, count)),
            DType::F32 => Data::F32(elements(tensor, count)),
            DType::F64 => Data::F64(elements(tensor, count)),
            DType::I8 => Data::I8(elements(tensor, count)),
            DType::I16 => Data::I16(elements(tensor, count)),
            DType::I32 => Data::I32(elements(tensor, count)),
            DType::I64 => Data::I64(elements(tensor, count)),
            DType::U8 => Data::U8(elements(tensor, count)),
            DType::U16 => Data::U16(elements(tensor, count)),
            DType::U32 => Data::U32(elements(tensor, count)),
            DType::U64 => Data::U64(elements(tensor, count)),
            DType::String => {
                let texts = tensor.data.cast::<*const c_char>();
                Data::String((0..count).map(|i| text::owned(*texts.add(i))).collect())
            }
        };
        Ok((name, Tensor { shape, data }))
    }
}

/// # Safety
/// `tensor` has `count` elements of a type like `T`, of which all bit patterns are values.
unsafe fn elements<T: Copy>(tensor: &sys::mw_tensor, count: usize) -> Vec<T> {
    if count == 0 {
        return Vec::new(); // their address may be null
    }
    // SAFETY: as the caller says; the library aligns elements to their size at least.
    unsafe { std::slice::from_raw_parts(tensor.data.cast::<T>(), count) }.to_vec()
}
