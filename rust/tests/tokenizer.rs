//! Tokenizers: texts to ids and back, at once and one id at a time.

mod common;

use common::{example, open, tree};
use millwright::{CoreMLModelWrapper, ErrorCode, LoadOptions, Tokenizer};
use std::sync::Arc;

fn tokenizer() -> Tokenizer {
    Tokenizer::load(example("tokenizer.json")).unwrap()
}

#[test]
fn a_text_comes_back_from_its_ids() {
    let tokenizer = tokenizer();
    for text in ["To be, or not to be", "ROMEO:\nBut soft!", "zwölf €\0 end", ""] {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.id_limit()));
    }
    assert_eq!(tokenizer.vocab_size(), 1024);
    assert_eq!(tokenizer.path(), example("tokenizer.json"));
}

#[test]
fn a_stream_gives_whole_characters() {
    let tokenizer = tokenizer();
    let mut stream = tokenizer.stream().unwrap();
    let text = "zwölf €";
    let ids = tokenizer.encode(text).unwrap();
    drop(tokenizer);
    let mut joined = String::new();
    for id in ids {
        joined += &stream.push(id).unwrap();
        assert!(text.starts_with(&joined), "{joined}");
    }
    assert_eq!(stream.push(4096).unwrap_err().code(), ErrorCode::InvalidArgument);
    joined += &stream.flush().unwrap();
    assert_eq!(joined, text);
}

#[test]
fn special_tokens_are_added_and_left_out() {
    let tokenizer = Tokenizer::load(tree("tests/data/tokenizer/word_piece.json")).unwrap();
    let (with, without) =
        (tokenizer.encode("the").unwrap(), tokenizer.encode_with("the", false).unwrap());
    assert_eq!(with.len(), without.len() + 2);
    assert!(tokenizer.special_ids().contains(&with[0]));
    assert_eq!(tokenizer.decode(&with).unwrap(), tokenizer.decode(&without).unwrap());
    assert_ne!(tokenizer.decode_with(&with, false).unwrap(), tokenizer.decode(&with).unwrap());
    assert!(tokenizer.end_of_text_ids().iter().all(|id| tokenizer.special_ids().contains(id)));
}

#[test]
fn tokens_have_names() {
    let tokenizer = tokenizer();
    let id = tokenizer.encode("the").unwrap()[0];
    let name = tokenizer.id_to_token(id).unwrap().unwrap();
    assert_eq!(tokenizer.token_to_id(&name), Some(id));
    assert_eq!(tokenizer.id_to_token(4096).unwrap(), None);
    assert_eq!(tokenizer.token_to_id("no such token"), None);
    assert_eq!(tokenizer.token_to_id("a\0b"), None);
}

#[test]
fn a_models_tokenizer_outlives_it_and_is_shared_by_threads() {
    let tokenizer = Arc::new(open(example("student.mlpackage")).tokenizer().unwrap());
    let expected = tokenizer.encode("To be").unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let tokenizer = Arc::clone(&tokenizer);
            std::thread::spawn(move || tokenizer.encode("To be").unwrap())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    assert_eq!(Tokenizer::load("no/such.json").unwrap_err().code(), ErrorCode::Io);
    assert_eq!(Tokenizer::load(example("train.txt")).unwrap_err().code(), ErrorCode::InvalidModel);
    let error = tokenizer().decode(&[1, 4096]).unwrap_err();
    assert!(error.message().contains("4096"), "{error}");
    let elsewhere = LoadOptions { tokenizer: Some("no/such".into()), ..LoadOptions::default() };
    let model = CoreMLModelWrapper::load(example("student.mlpackage"), &elsewhere).unwrap();
    let error = model.tokenizer().unwrap_err();
    assert!(error.message().contains("no/such"), "{error}");
}
