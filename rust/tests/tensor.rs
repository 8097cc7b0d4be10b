//! Tensors: shapes, dtypes, conversions.

use millwright::{DType, Data, Tensor, F16};

#[test]
fn a_shape_has_as_many_elements_as_there_are_values() {
    let x = Tensor::new([2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!((x.shape(), x.len(), x.dtype()), (&[2, 3][..], 6, DType::I32));
    assert_eq!(x.data(), &Data::I32(vec![1, 2, 3, 4, 5, 6]));
    let error = Tensor::new([2, 3], vec![1.0f32]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor: expected as many values as shape [2, 3] has elements, got 1"
    );
    assert!(Tensor::new([usize::MAX, 2], vec![0u8; 2]).is_err());
    assert!(Tensor::new([0, 3], Vec::<f32>::new()).unwrap().is_empty());
    assert_eq!(Tensor::scalar(3i64).shape(), [0usize; 0]);
    assert_eq!(Tensor::scalar(3i64).len(), 1);
}

#[test]
fn elements_are_given_as_what_they_are() {
    let x = Tensor::new([2], [1.5f32, 2.5]).unwrap();
    assert_eq!(x.values::<f32>().unwrap(), [1.5, 2.5]);
    let error = x.values::<F16>().unwrap_err();
    assert_eq!(error.to_string(), "tensor: expected elements of fp16, got fp32");
    assert!(x.clone().into_values::<f64>().is_err());
    assert_eq!(x.into_values::<f32>().unwrap(), [1.5, 2.5]);
}

#[test]
fn numbers_of_every_dtype_become_floats() {
    let numbers = |tensor: millwright::Result<Tensor>| tensor.unwrap().to_f64().unwrap();
    assert_eq!(numbers(Tensor::new([2], [true, false])), [1.0, 0.0]);
    assert_eq!(numbers(Tensor::new([1], [F16(0xc200)])), [-3.0]);
    assert_eq!(numbers(Tensor::new([1], [-3i8])), [-3.0]);
    assert_eq!(numbers(Tensor::new([1], [i64::MIN])), [-(2f64.powi(63))]);
    assert_eq!(numbers(Tensor::new([1], [u64::MAX])), [2f64.powi(64)]);
    assert_eq!(Tensor::new([1], [0.1f64]).unwrap().to_f32().unwrap(), [0.1f32]);
    let words = Tensor::new([1], ["a".to_owned()]).unwrap();
    assert_eq!(words.to_f32().unwrap_err().to_string(), "tensor: expected numbers, got string");
}

#[test]
fn names_of_dtypes_come_back() {
    for dtype in [DType::Bool, DType::F16, DType::F64, DType::I8, DType::U64, DType::String] {
        assert_eq!(dtype.to_string().parse(), Ok(dtype));
    }
    let error = "float".parse::<DType>().unwrap_err().to_string();
    assert!(error.starts_with("dtype: expected one of bool, fp16, "), "{error}");
    assert!(error.ends_with(", got 'float'"), "{error}");
}
