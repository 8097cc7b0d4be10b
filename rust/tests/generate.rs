//! Texts that go on.

mod common;

use millwright::{CoreMLModelWrapper, Settings};
use std::ops::ControlFlow;

fn model() -> CoreMLModelWrapper {
    common::open(common::example("student.mlpackage"))
}

#[test]
fn a_text_comes_in_pieces_and_as_a_whole() {
    let settings = Settings::new().with("max_tokens", 12).unwrap();
    let mut told = String::new();
    let said = model()
        .generate("ROMEO:", &settings, |piece| {
            told.push_str(piece);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(said.text, told);
    assert_eq!(said.ids.len(), 12);
    assert_eq!(said.end, "max_tokens");
    assert!(said.prompt_tokens > 0 && said.seconds >= 0.0);
}

#[test]
fn the_function_may_end_it() {
    let settings = Settings::new().with("max_tokens", 50).unwrap();
    let mut pieces = 0;
    let said = model()
        .generate("ROMEO:", &settings, |_| {
            pieces += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!((pieces, said.end.as_str()), (1, "on_text"));
    let panicked =
        std::panic::catch_unwind(|| model().generate("ROMEO:", &settings, |_| panic!("enough")));
    assert!(panicked.is_err());
}

#[test]
fn a_setting_that_is_wrong_is_a_sentence() {
    let settings = Settings::new().with("stop", "").unwrap();
    let error = model().generate("ROMEO:", &settings, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("stop"), "{error}");
}
