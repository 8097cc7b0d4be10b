//! Students: steps, gradients, teachers, files, states, refusals, any order of dropping.

mod common;

use common::{batch, eighths, example, open, package, student, tree, Folder};
use millwright::{
    Batch, CoreMLModelWrapper, DistillOptions, ErrorCode, LoadOptions, Settings, StudentModel,
    Tensor,
};

fn fast() -> Settings {
    Settings::new().with("learning_rate", 3e-3).unwrap()
}

#[test]
fn steps_lower_the_loss() {
    let mut student = student(&fast());
    assert_eq!(student.step_bytes(), 0);
    let first = student.training_step(&batch()).unwrap();
    assert_eq!((first.step, first.tokens), (1, 16));
    assert!(first.grad_norm > 0.0);
    assert!((first.learning_rate - 3e-3).abs() < 1e-9);
    let mut last = first;
    for _ in 0..9 {
        last = student.training_step(&batch()).unwrap();
    }
    assert_eq!(last.step, 10);
    assert!(last.loss < first.loss - 0.5, "{} {}", first.loss, last.loss);
    assert!(student.evaluate(&batch()).unwrap().loss < last.loss);
    assert!(student.step_bytes() > 0);
}

#[test]
fn several_batches_are_one_step() {
    let mut student = student(&fast());
    let result = student.training_step_over(&[batch(), batch()]).unwrap();
    assert_eq!((result.step, result.tokens), (1, 32));
    assert!(student.training_step_over(&[]).is_err());
}

#[test]
fn gradients_come_by_parameter_name_and_change_nothing() {
    let mut student = student(&fast());
    let before = student.state().unwrap();
    let gradients = student.backward(&batch()).unwrap();
    let trained: Vec<_> = student.parameters().into_iter().filter(|p| p.trained).collect();
    assert!(!trained.is_empty());
    assert_eq!(gradients.tensors.len(), trained.len());
    let mut squares = 0.0;
    for parameter in &trained {
        assert!(!parameter.reason.is_empty());
        assert_eq!(parameter.stored, "fp32");
        let gradient = &gradients.tensors[&parameter.name];
        assert_eq!(gradient.shape(), parameter.shape);
        let values = gradient.to_f64().unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{}", parameter.name);
        squares += values.iter().map(|value| value * value).sum::<f64>();
    }
    let norm = gradients.result.grad_norm;
    assert!((squares.sqrt() - norm).abs() < 1e-3 * norm, "{} {norm}", squares.sqrt());
    let loss = student.evaluate(&batch()).unwrap().loss;
    assert!((gradients.result.loss - loss).abs() < 1e-5 * loss);
    assert_eq!(student.state().unwrap(), before);
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let settings = Settings::new().with("loss", "mse").unwrap().with("wrt_inputs", ["x"]).unwrap();
    let mut student = StudentModel::new(&open(package("linear")), &settings).unwrap();
    let x = eighths([2, 4]);
    let labels = Tensor::new([2, 3], vec![1.0f32; 6]).unwrap();
    let batch_of = |x: &Tensor| Batch::from([("x", x.clone()), ("labels", labels.clone())]);
    let gradients = student.backward(&batch_of(&x)).unwrap().tensors;
    let slopes = gradients["input.x"].values::<f32>().unwrap().to_vec();
    assert_eq!(gradients["input.x"].shape(), [2, 4]);
    for (at, slope) in slopes.iter().enumerate() {
        let mut moved = |by: f32| {
            let mut values = x.values::<f32>().unwrap().to_vec();
            values[at] += by;
            let moved = batch_of(&Tensor::new([2, 4], values).unwrap());
            student.evaluate(&moved).unwrap().loss
        };
        let difference = (moved(0.0625) - moved(-0.0625)) / 0.125;
        assert!((difference - f64::from(*slope)).abs() < 1e-4, "{at}: {difference} {slope}");
    }
}

#[test]
fn a_teacher_changes_the_loss() {
    let teacher = open(example("model.mlpackage"));
    let alone = student(&fast()).evaluate(&batch()).unwrap();
    let mut taught = student(&fast());
    let bad = DistillOptions { temperature: 0.0, ..DistillOptions::default() };
    let error = taught.set_teacher(&teacher, &bad).unwrap_err();
    assert!(error.message().contains("temperature: expected"), "{error}");
    let other = DistillOptions { target: Some("other".to_owned()), ..DistillOptions::default() };
    assert!(taught.set_teacher(&teacher, &other).is_err());
    let options = DistillOptions { target: Some("logits".to_owned()), ..DistillOptions::default() };
    taught.set_teacher(&teacher, &options).unwrap();
    drop(teacher);
    let first = taught.training_step(&batch()).unwrap();
    assert!((first.loss - alone.loss).abs() > 1e-3);
    assert!(taught.training_step(&batch()).unwrap().loss < first.loss);
}

#[test]
fn what_a_teacher_says_is_kept() {
    let folder = Folder::new("said");
    let teacher = open(example("model.mlpackage"));
    let loss = |options: &DistillOptions| {
        let mut taught = student(&fast());
        taught.set_teacher(&teacher, options).unwrap();
        taught.training_step(&batch()).unwrap().loss
    };
    let file = folder.join("said");
    let kept = DistillOptions { cache: Some(file.clone()), top_k: 0, ..DistillOptions::default() };
    assert!((loss(&kept) - loss(&DistillOptions::default())).abs() < 1e-4);
    assert!(file.exists());
    let error =
        student(&fast()).set_teacher(&teacher, &DistillOptions { top_k: 3, ..kept }).unwrap_err();
    assert!(error.message().contains("teacher_top_k: expected 3"), "{error}");
}

#[test]
fn what_is_saved_predicts_as_the_student_does() {
    let folder = Folder::new("save");
    let mut student = student(&fast());
    for _ in 0..3 {
        student.training_step(&batch()).unwrap();
    }
    let ids = Tensor::new([1, 4], [1, 50, 300, 7]).unwrap();
    let ours = student.predict([("input_ids", &ids)]).unwrap().remove("logits").unwrap();
    for name in ["trained.mlpackage", "trained.mlmodelc"] {
        assert_eq!(student.save(folder.join(name)).unwrap(), Vec::<String>::new());
        let saved = open(folder.join(name));
        assert_eq!(saved.metadata()["millwright.trained_steps"], "3");
        let theirs = saved.forward(&[1, 50, 300, 7]).unwrap();
        let pairs = ours.to_f64().unwrap().into_iter().zip(theirs.to_f64().unwrap());
        assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-4);
    }
    assert_eq!(student.save("/dev/null/x.mlpackage").unwrap_err().code(), ErrorCode::Io);
}

#[test]
fn functions_that_share_weights_are_told_of() {
    let folder = Folder::new("functions");
    let settings = Settings::new().with("loss", "mse").unwrap();
    let mut student = StudentModel::new(&open(package("two_functions")), &settings).unwrap();
    assert!(student.notes()[0].contains("double"), "{:?}", student.notes());
    let x = ("x", eighths([2, 4]));
    let labels = ("labels", Tensor::new([2, 4], vec![1.0f32; 8]).unwrap());
    student.training_step(&Batch::from([x.clone(), labels])).unwrap();
    let double = LoadOptions { function: Some("double".to_owned()), ..LoadOptions::default() };
    let predicted = |path| {
        let model = CoreMLModelWrapper::load(path, &double).unwrap();
        model.predict([("x", &x.1)]).unwrap().remove("y").unwrap()
    };
    student.save(folder.join("all.mlpackage")).unwrap();
    student.save_only_function(folder.join("one.mlpackage")).unwrap();
    let before = predicted(package("two_functions"));
    assert_ne!(predicted(folder.join("all.mlpackage")), before);
    assert_eq!(predicted(folder.join("one.mlpackage")), before);
}

#[test]
fn a_student_goes_on_from_a_state_and_from_a_checkpoint() {
    let folder = Folder::new("checkpoint");
    let file = folder.join("checkpoint.safetensors");
    let mut first = student(&fast());
    first.training_step(&batch()).unwrap();
    first.save_checkpoint(&file).unwrap();
    let state = first.state().unwrap();
    let expected = first.training_step(&batch()).unwrap();
    let mut by_file = student(&fast());
    by_file.load_checkpoint(&file).unwrap();
    assert_eq!(by_file.training_step(&batch()).unwrap(), expected);
    let mut by_state = student(&fast());
    by_state.load_state(&state).unwrap();
    assert_eq!(by_state.training_step(&batch()).unwrap(), expected);
    let error = by_state.load_state(&Default::default()).unwrap_err();
    assert!(error.message().contains("is missing"), "{error}");
    let error = first.load_checkpoint(folder.join("none.safetensors")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io);
}

#[test]
fn parameters_and_weights_are_read_and_replaced() {
    let folder = Folder::new("weights");
    let file = folder.join("weights.safetensors");
    let mut student = student(&fast());
    let parameter = student.parameters().into_iter().find(|p| p.trained).unwrap();
    let before = student.parameter(&parameter.name).unwrap();
    assert_eq!(before.shape(), parameter.shape);
    student.save_weights(&file).unwrap();
    let zeros = Tensor::new(parameter.shape.clone(), vec![0.0f32; before.len()]).unwrap();
    student.set_parameter(&parameter.name, &zeros).unwrap();
    assert_eq!(student.parameter(&parameter.name).unwrap(), zeros);
    student.load_weights(&file).unwrap();
    assert_eq!(student.parameter(&parameter.name).unwrap(), before);
    let error = student.set_parameter(&parameter.name, &Tensor::scalar(1.0f32)).unwrap_err();
    assert!(error.message().contains("expected floats of shape"), "{error}");
    let error = student.parameter("other").unwrap_err();
    assert!(error.message().contains("parameter 'other'"), "{error}");
}

#[test]
fn adapters_are_trained_saved_and_loaded() {
    let folder = Folder::new("lora");
    let settings = fast().with("lora_rank", 2).unwrap().with("lora_targets", ["*w*"]).unwrap();
    let mut first = student(&settings);
    let trained: Vec<_> = first.parameters().into_iter().filter(|p| p.trained).collect();
    assert!(trained.iter().all(|p| p.name.contains(".lora_")));
    for _ in 0..5 {
        first.training_step(&batch()).unwrap();
    }
    let loss = first.evaluate(&batch()).unwrap().loss;
    for name in ["adapter.safetensors", "peft"] {
        first.save_adapter(folder.join(name)).unwrap();
        let mut second = student(&settings);
        second.load_adapter(folder.join(name)).unwrap();
        assert_eq!(second.evaluate(&batch()).unwrap().loss, loss, "{name}");
        let options = LoadOptions { adapter: Some(folder.join(name)), ..LoadOptions::default() };
        CoreMLModelWrapper::load(example("student.mlpackage"), &options).unwrap();
    }
    let names = folder.join("none.safetensors");
    assert!(first.save_adapter_named(folder.join("named"), names).is_err());
}

#[test]
fn a_classifier_learns_its_classes() {
    let model = open(tree("tests/data/ends/classifier.mlpackage"));
    let mut student = StudentModel::new(&model, &Settings::new()).unwrap();
    assert_eq!(student.class_labels().len(), 3);
    assert_eq!(student.class_labels()[2], "fox");
    let x = Tensor::new([1, 4], [0.5f32, -1.0, 2.0, 0.25]).unwrap();
    let fox = Batch::from([("x", x), ("labels", Tensor::new([1], [2]).unwrap())]);
    let objective = student.objective(&fox).unwrap();
    assert!(objective.contains("over axis 1, 3 classes"), "{objective}");
    let first = student.training_step(&fox).unwrap();
    assert!(student.training_step(&fox).unwrap().loss < first.loss);
}

#[test]
fn what_does_not_fit_is_refused() {
    let error = Batch::next_tokens(&[vec![1, 2, 3], vec![1, 2]]).unwrap_err();
    assert_eq!(error.to_string(), "batch: expected rows of equally many ids, at least 2, got 2");
    assert!(Batch::next_tokens(&[[1]]).is_err());
    let mut student = student(&fast());
    let refused = |result: millwright::Result<millwright::StepResult>, sentence: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains(sentence), "{error}");
    };
    let ids = Tensor::new([1, 4], [1, 2, 3, 4]).unwrap();
    let unlabelled = Batch::from([("input_ids", ids.clone())]);
    refused(student.training_step(&unlabelled), "labels");
    let none: [Vec<i32>; 0] = [];
    assert!(student.training_step(&Batch::next_tokens(&none).unwrap()).is_err());
    let short = Tensor::new([1, 3], [1, 2, 3]).unwrap();
    refused(student.evaluate(&Batch::new(ids.clone(), short)), "labels");
    let large = Tensor::new([1, 4], [1, 2, 3, 1024]).unwrap();
    refused(student.training_step(&Batch::new(ids, large)), "1024");
    let settings = Settings::new().with("target", "other").unwrap();
    let model = open(example("student.mlpackage"));
    let error = StudentModel::new(&model, &settings).unwrap_err();
    assert!(error.message().contains("target 'other'"), "{error}");
    let settings = Settings::new().with("memory", 1000).unwrap();
    let mut student = StudentModel::new(&model, &settings).unwrap();
    refused(student.training_step(&batch()), "memory: expected at least");
}
