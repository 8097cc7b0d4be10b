//! Fine-tunes a language model in this process, saves it and lets it write:
//!
//! ```text
//! cargo run --release --example train_in_process -- MODEL TEXT OUTPUT [STEPS]
//! ```
//!
//! No trainer is started as a child process, so the loss is a number of this program, an error is a
//! `Result`, and stopping is a matter of leaving the loop. `millwright::train()` does the same with
//! validation, checkpoints and a report.

use millwright::{Batch, CoreMLModelWrapper, LoadOptions, Settings, StudentModel, Tokenizer};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const ROWS: usize = 8;
const TIME: usize = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [model, text, output] => run(model, text, output, 200),
        [model, text, output, steps] => match steps.parse() {
            Ok(steps) => run(model, text, output, steps),
            Err(_) => Err(format!("STEPS: expected a whole number, got '{steps}'").into()),
        },
        _ => Err("usage: train_in_process MODEL TEXT OUTPUT [STEPS]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(model: &str, text: &str, output: &str, steps: usize) -> Result<(), Box<dyn Error>> {
    let model = CoreMLModelWrapper::load(model, &LoadOptions::default())?;
    let tokenizer = model.tokenizer()?;
    let ids = tokenizer.encode(&std::fs::read_to_string(text)?)?;

    let mut student = StudentModel::new(&model, &settings(steps)?)?;
    train(&mut student, &ids, steps)?;
    for warning in student.save(output)? {
        println!("{warning}");
    }
    println!("saved {output}");
    write_on(Path::new(output), &tokenizer, &ids[..8.min(ids.len())], 24)
}

fn settings(steps: usize) -> millwright::Result<Settings> {
    let mut settings = Settings::new();
    settings.set("optimizer", "adamw")?.set("learning_rate", 2e-3)?.set("clip_norm", 1)?;
    settings.set("schedule", "cosine")?.set("warmup_steps", steps / 10)?;
    settings.set("total_steps", steps)?;
    Ok(settings)
}

fn train(student: &mut StudentModel, ids: &[i32], steps: usize) -> Result<(), Box<dyn Error>> {
    let rows: Vec<&[i32]> = ids.chunks_exact(TIME + 1).collect();
    if rows.len() < ROWS {
        return Err(
            format!("the text: expected {} ids, got {}", ROWS * (TIME + 1), ids.len()).into()
        );
    }
    for step in 0..steps {
        // A stride without a common factor visits every row before one comes again.
        let batch: Vec<&[i32]> =
            (0..ROWS).map(|row| rows[(step * ROWS + row) * 7919 % rows.len()]).collect();
        let result = student.training_step(&Batch::next_tokens(&batch)?)?;
        if result.step % 10 == 1 || result.step == steps as i64 {
            println!("step {}: loss {:.4}", result.step, result.loss);
        }
    }
    Ok(())
}

/// The likeliest tokens behind a prompt, as they come.
fn write_on(
    path: &Path,
    tokenizer: &Tokenizer,
    prompt: &[i32],
    count: usize,
) -> Result<(), Box<dyn Error>> {
    let trained = CoreMLModelWrapper::load(path, &LoadOptions::default())?;
    let mut stream = tokenizer.stream()?;
    let mut ids = prompt.to_vec();
    print!("{}", tokenizer.decode(prompt)?);
    for _ in 0..count {
        let logits = trained.forward(&ids)?; // [1, time, vocabulary]
        let vocabulary = logits.shape()[2];
        let last = &logits.values::<f32>()?[logits.len() - vocabulary..];
        let likeliest = (0..vocabulary).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap_or(0);
        ids.push(likeliest as i32);
        print!("{}", stream.push(likeliest as i32)?);
        std::io::stdout().flush()?;
    }
    println!("{}", stream.flush()?);
    Ok(())
}
