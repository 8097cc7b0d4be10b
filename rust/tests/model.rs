//! Models: what they say of themselves, predictions, states, threads, refusals.

mod common;

use common::{eighths, example, open, package};
use millwright::{
    Compute, CoreMLModelWrapper, DType, ErrorCode, LoadOptions, Settings, Tensor, TensorMap, F16,
};
use std::sync::Arc;

#[test]
fn a_model_says_what_it_takes_and_gives() {
    let model = open(example("model.mlpackage"));
    let inputs = model.inputs();
    assert_eq!(inputs.len(), 1);
    assert_eq!(inputs[0].name, "input_ids");
    assert_eq!(inputs[0].kind, "MultiArray");
    assert_eq!(inputs[0].dtype.parse(), Ok(DType::I32));
    assert_eq!(inputs[0].ranges, [(1, Some(64)), (1, Some(128))]);
    assert!(!inputs[0].optional);
    assert_eq!(model.outputs().len(), 1);
    assert_eq!(model.outputs()[0].name, "logits");
    assert!(model.states().is_empty());
    assert_eq!(model.functions(), [model.function()]);
    assert_eq!(model.path(), example("model.mlpackage"));
}

#[test]
fn shapes_functions_and_metadata_are_told() {
    let listed = open(package("enumerated_shapes")).inputs().remove(0).enumerated;
    assert_eq!(listed.len(), 3);
    assert!(listed.contains(&vec![8, 4]));
    let two = open(package("two_functions"));
    assert_eq!(two.function(), "triple");
    assert_eq!(two.functions(), ["double", "triple"]);
    let classifier = open(package("classifier"));
    assert_eq!(classifier.metadata()["com.github.apple.coremltools.version"], "9.0");
    assert_eq!(classifier.outputs()[0].kind, "String");
    assert_eq!(classifier.outputs()[1].kind, "Dictionary");
}

#[test]
fn forward_gives_the_logits_of_every_token() {
    let model = open(example("model.mlpackage"));
    let logits = model.forward(&[1, 50, 300, 7]).unwrap();
    assert_eq!(logits.shape(), [1, 4, 1024]);
    let values = logits.values::<f32>().unwrap();
    assert!(values.iter().all(|value| value.is_finite()));
    // Of the last token, by the reference implementations in fp64.
    let expected = [-13.16938, 5.27415, -13.19322, -13.34022, -12.24872];
    for (value, expected) in values[3 * 1024..].iter().zip(expected) {
        assert!((value - expected).abs() < 1e-3, "{value} {expected}");
    }
    let ids = Tensor::new([1, 4], [1, 50, 300, 7]).unwrap();
    let predicted = model.predict([("input_ids", &ids)]).unwrap();
    assert_eq!(predicted.len(), 1);
    assert_eq!(predicted["logits"], logits);
    assert_eq!(model.forward_batch(&ids).unwrap(), logits);
    let both = Tensor::new([2, 4], [1, 50, 300, 7, 1, 50, 300, 7]).unwrap();
    assert_eq!(model.forward_batch(&both).unwrap().shape(), [2, 4, 1024]);
}

#[test]
fn inputs_of_other_dtypes_are_taken_where_no_value_changes() {
    let model = open(example("student.mlpackage"));
    let expected = model.forward(&[1, 50, 100, 7]).unwrap();
    for ids in [
        Tensor::new([1, 4], [1i8, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1u8, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1i16, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1u16, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1u32, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1i64, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1u64, 50, 100, 7]).unwrap(),
        Tensor::new([1, 4], [1.0f64, 50.0, 100.0, 7.0]).unwrap(),
        Tensor::new([1, 4], [1.0f32, 50.0, 100.0, 7.0].map(F16::from_f32)).unwrap(),
    ] {
        assert_eq!(model.forward_batch(&ids).unwrap(), expected, "{}", ids.dtype());
    }
    let wide = Tensor::new([1, 2], [1i64, 1 << 40]).unwrap();
    let error = model.forward_batch(&wide).unwrap_err().to_string();
    assert!(error.contains("expected int32, got the value 1099511627776 at [0, 1]"), "{error}");
}

#[test]
fn wrong_inputs_are_refused_in_a_sentence() {
    let model = open(example("student.mlpackage"));
    let refused = |inputs: &[(&str, &Tensor)], sentence: &str| {
        let error = model.predict(inputs.iter().copied()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains(sentence), "{error}");
    };
    let ids = Tensor::new([1, 4], [1, 2, 3, 4]).unwrap();
    refused(&[], "input 'input_ids': expected a tensor, got none");
    refused(&[("input_ids", &ids), ("input_ids", &ids)], "'input_ids' is given twice");
    refused(&[("input_ids", &ids), ("x", &ids)], "input 'x': unknown; the model takes input_ids");
    refused(&[("input\0ids", &ids)], "expected a text without a zero byte, got one at 5");
    let long = Tensor::new([1, 129], vec![1; 129]).unwrap();
    refused(&[("input_ids", &long)], "expected shape [1..64, 1..128], got [1, 129]");
    let halves = Tensor::new([1, 2], [1.0f32, 1.5]).unwrap();
    refused(&[("input_ids", &halves)], "got fp32 with the value 1.5 at [0, 1]");
    let words = Tensor::new([1, 1], ["one".to_owned()]).unwrap();
    refused(&[("input_ids", &words)], "dtype");
    let none = Tensor::new([1, 0], Vec::<i32>::new()).unwrap();
    refused(&[("input_ids", &none)], "got [1, 0]");
    let endless = Tensor::new([0, usize::MAX], Vec::<i32>::new()).unwrap();
    refused(&[("input_ids", &endless)], "input 'input_ids'");
    let error = model.forward(&[]).unwrap_err();
    assert!(error.message().contains("at least one token"), "{error}");
}

#[test]
fn loading_refuses_what_does_not_fit() {
    let refused = |path: &str, options: LoadOptions, code, sentence: &str| {
        let error = CoreMLModelWrapper::load(example(path), &options).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(sentence), "{error}");
        error
    };
    let usual = LoadOptions::default;
    refused("none.mlpackage", usual(), ErrorCode::Io, "none.mlpackage");
    refused("tokenizer.json", usual(), ErrorCode::InvalidModel, "tokenizer.json");
    let student = "student.mlpackage";
    let other = LoadOptions { function: Some("other".to_owned()), ..usual() };
    refused(student, other, ErrorCode::InvalidArgument, "function 'other': expected one of");
    let abacus = LoadOptions { device: Some("abacus".to_owned()), ..usual() };
    refused(student, abacus, ErrorCode::InvalidArgument, "device: expected one of");
    let many = LoadOptions { threads: 4096, ..usual() };
    let error = refused(student, many, ErrorCode::InvalidArgument, "threads: expected a whole");
    assert_eq!(error.setting(), Some("threads"));
    let error = CoreMLModelWrapper::load("a\0b", &usual()).unwrap_err();
    assert_eq!(error.to_string(), "path: expected a text without a zero byte, got one at 1");
}

#[test]
fn options_reach_the_model() {
    let ids = [1, 50, 300, 7];
    let usual = open(example("model.mlpackage")).forward(&ids).unwrap().to_f64().unwrap();
    let options = LoadOptions { compute: Compute::Fp64, threads: 1, ..LoadOptions::default() };
    let exact = CoreMLModelWrapper::load(example("model.mlpackage"), &options).unwrap();
    let exact = exact.forward(&ids).unwrap().to_f64().unwrap();
    assert_ne!(usual, exact);
    assert!(usual.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-3));
    let settings = Settings::new().with("naive", true).unwrap().with("compute", "fp64").unwrap();
    let naive = CoreMLModelWrapper::load_with(example("model.mlpackage"), &settings).unwrap();
    let naive = naive.forward(&ids).unwrap().to_f64().unwrap();
    assert!(naive.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-5));
    let double = LoadOptions { function: Some("double".to_owned()), ..LoadOptions::default() };
    let double = CoreMLModelWrapper::load(package("two_functions"), &double).unwrap();
    assert_eq!(double.function(), "double");
}

#[test]
fn a_classifier_gives_names_and_probabilities() {
    let model = open(package("classifier"));
    let x = Tensor::new([1, 3], [0.5f32, -1.0, 2.0]).unwrap();
    let outputs = model.predict([("x", &x)]).unwrap();
    let label = outputs["classLabel"].values::<String>().unwrap();
    let keys = outputs["classLabel_probs.keys"].values::<String>().unwrap();
    let shares = outputs["classLabel_probs"].to_f32().unwrap();
    assert_eq!(keys.len(), 3);
    assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-3);
    let likeliest = (0..3).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap();
    assert_eq!(label, &keys[likeliest..=likeliest]);
    assert!(outputs["classLabel"].to_f64().is_err());
}

#[test]
fn a_state_is_kept_read_written_and_reset() {
    let model = open(package("stateful")); // y = memory += x, in fp16
    assert_eq!(model.states()[0].name, "memory");
    assert_eq!(model.states()[0].kind, "State");
    let x = Tensor::new([2, 4], vec![1.0f32; 8]).unwrap();
    let mut state = model.make_state().unwrap();
    let mut first = |inputs: &TensorMap| {
        let outputs = model.predict_with(inputs, &mut state).unwrap();
        let first = outputs["y"].values::<f32>().unwrap()[0];
        first
    };
    let inputs = TensorMap::from([("x".to_owned(), x.clone())]);
    assert_eq!(first(&inputs), 1.0);
    assert_eq!(first(&inputs), 2.0);
    let kept = state.get("memory").unwrap();
    assert_eq!(kept.values::<F16>().unwrap()[0], F16::from_f32(2.0));
    let fives = Tensor::new([2, 4], vec![F16::from_f32(5.0); 8]).unwrap();
    state.set("memory", &fives).unwrap();
    let after = model.predict_with([("x", &x)], &mut state).unwrap();
    assert_eq!(after["y"].values::<f32>().unwrap(), [6.0; 8]);
    assert_eq!(fives.to_f32().unwrap(), [5.0; 8]);
    state.reset();
    assert_eq!(state.get("memory").unwrap().to_f64().unwrap(), [0.0; 8]);

    let error = state.set("memory", &x).unwrap_err().to_string();
    assert!(error.contains("expected fp16 [2, 4], got fp32 [2, 4]"), "{error}");
    let error = state.get("other").unwrap_err().to_string();
    assert!(error.contains("state 'other'"), "{error}");
    let error = model.predict([("x", &x)]).unwrap_err().to_string();
    assert!(error.contains("the model has states"), "{error}");
    let other = open(package("linear"));
    let error = other.predict_with([("x", &eighths([2, 4]))], &mut state).unwrap_err().to_string();
    assert!(error.contains("state 'memory': the model has none of that name"), "{error}");
}

#[test]
fn threads_share_a_model_and_each_has_its_own_error() {
    let model = Arc::new(open(example("student.mlpackage")));
    let expected: Vec<Tensor> =
        (1..5).map(|n| model.forward(&(1..=n).collect::<Vec<i32>>()).unwrap()).collect();
    let work = |first: i32| {
        let (model, expected) = (Arc::clone(&model), expected.clone());
        std::thread::spawn(move || {
            for round in 0..4 {
                let n = 1 + (first + round) % 4;
                let logits = model.forward(&(1..=n).collect::<Vec<i32>>()).unwrap();
                let (got, wanted) = (logits.to_f32().unwrap(), expected[n as usize - 1].to_f32());
                assert!(got.iter().zip(wanted.unwrap()).all(|(a, b)| (a - b).abs() < 1e-5));
                let error = model.forward(&vec![0; 200 + n as usize]).unwrap_err().to_string();
                assert!(error.contains(&format!("got {}", 200 + n)), "{error}");
            }
        })
    };
    let threads: Vec<_> = (0..4).map(work).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_version_is_told() {
    assert_eq!(millwright::version(), env!("CARGO_PKG_VERSION"));
}
