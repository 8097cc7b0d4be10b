//! Settings by name: values of every kind, and refusals that name them.

mod common;

use common::{batch, student};
use millwright::{ErrorCode, Settings, Value};
use std::path::Path;

#[test]
fn values_of_every_kind_are_taken() {
    let mut settings = Settings::new();
    settings.set("optimizer", "adam").unwrap();
    settings.set("beta1", 0.95f64).unwrap().set("beta2", 0.99f32).unwrap();
    settings.set("warmup_steps", 3i32).unwrap().set("total_steps", 9i64).unwrap();
    settings.set("memory", u64::MAX / 8).unwrap().set("seed", u64::from(u32::MAX)).unwrap();
    settings.set("steps", 5usize).unwrap().set("lora_rank", 4u32).unwrap();
    settings.set("naive", false).unwrap();
    settings.set("output", Path::new("out.mlpackage")).unwrap();
    settings.set("trainable", ["*norm*"]).unwrap();
    settings.set("wrt_inputs", vec!["x".to_owned()]).unwrap();
    settings.set("pos_weight", Vec::<String>::new()).unwrap();
}

#[test]
fn refusals_name_the_setting() {
    let refused = |name: &str, value: Value, setting: Option<&str>, sentence: &str| {
        let error = Settings::new().set(name, value).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert_eq!(error.setting(), setting, "{error}");
        assert!(error.message().starts_with(sentence), "{error}");
    };
    refused("beta1", 1.0.into(), Some("beta1"), "beta1: expected a number in [0, 1), got 1");
    refused("learning_rate", f64::NAN.into(), Some("learning_rate"), "learning_rate: expected");
    refused("momentum", "0.9".into(), Some("momentum"), "momentum: expected optimizer sgd");
    refused("steps", (-1).into(), Some("steps"), "steps: expected a whole number from 0");
    refused("beta9", 1.into(), None, "'beta9': expected the name of a setting");
    refused("target", "a\0b".into(), None, "target: expected a text without a zero byte");
    refused("a\0b", 1.into(), None, "name of a setting: expected a text without a zero byte");
}

#[test]
fn settings_reach_the_student() {
    let settings = Settings::new().with("optimizer", "sgd").unwrap();
    let settings = settings.with("schedule", "linear").unwrap();
    let settings = settings.with("warmup_steps", 4).unwrap().with("total_steps", 8).unwrap();
    let result = student(&settings).training_step(&batch()).unwrap();
    assert!((result.learning_rate - 2.5e-3).abs() < 1e-9);
    let few = Settings::new().with("trainable", ["*norm*"]).unwrap();
    let names: Vec<_> = student(&few).parameters().into_iter().filter(|p| p.trained).collect();
    assert!(!names.is_empty() && names.iter().all(|p| p.name.contains("norm")));
}
