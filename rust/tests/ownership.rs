//! Who may be used where, and that nothing depends on what else still lives.

mod common;

use common::{batch, example, open, package};
use millwright::{
    CoreMLModelWrapper, DistillOptions, Error, Settings, State, StreamDecoder, StudentModel,
    Tensor, Tokenizer,
};

fn is_send<T: Send>() {}

/// Whether several threads may use a `T` at once: the type's own constant, where it has one, is found
/// before the trait's.
struct Shared<T>(std::marker::PhantomData<T>);

impl<T: Sync> Shared<T> {
    const BY_THREADS: bool = true;
}

trait Otherwise {
    const BY_THREADS: bool = false;
}

impl<T> Otherwise for T {}

#[test]
fn threads_may_share_what_the_header_lets_them() {
    is_send::<CoreMLModelWrapper>();
    is_send::<Tokenizer>();
    is_send::<State>();
    is_send::<StreamDecoder>();
    is_send::<StudentModel>();
    is_send::<Settings>();
    is_send::<Error>();
    let shared = [<Shared<CoreMLModelWrapper>>::BY_THREADS, <Shared<Tokenizer>>::BY_THREADS];
    assert_eq!(shared, [true; 2]);
    let alone = [
        <Shared<State>>::BY_THREADS,
        <Shared<StreamDecoder>>::BY_THREADS,
        <Shared<StudentModel>>::BY_THREADS,
        <Shared<Settings>>::BY_THREADS,
    ];
    assert_eq!(alone, [false; 4]);
}

#[test]
fn a_student_works_in_another_thread() {
    let model = open(example("student.mlpackage"));
    let mut student = StudentModel::new(&model, &Settings::new()).unwrap();
    let here = student.training_step(&batch()).unwrap();
    let there = std::thread::spawn(move || student.training_step(&batch()).unwrap());
    let there = there.join().unwrap();
    assert_eq!(there.step, 2);
    assert!(there.loss < here.loss);
}

#[test]
fn everything_may_be_dropped_in_any_order() {
    const PARTS: usize = 5;
    // Each part in turn is dropped first; the others work on.
    for first in 0..PARTS {
        let mut model = Some(open(example("student.mlpackage")));
        let mut teacher = Some(open(example("model.mlpackage")));
        let mut settings = Some(Settings::new());
        let mut student =
            Some(StudentModel::new(model.as_ref().unwrap(), settings.as_ref().unwrap()).unwrap());
        let trained = student.as_mut().unwrap();
        trained.set_teacher(teacher.as_ref().unwrap(), &DistillOptions::default()).unwrap();
        let mut tokenizer = Some(model.as_ref().unwrap().tokenizer().unwrap());
        for part in (0..PARTS).map(|i| (first + i) % PARTS) {
            match part {
                0 => drop(model.take()),
                1 => drop(teacher.take()),
                2 => drop(settings.take()),
                3 => drop(student.take()),
                _ => drop(tokenizer.take()),
            }
            if let Some(student) = &mut student {
                assert!(student.training_step(&batch()).unwrap().loss.is_finite());
            }
            if let Some(model) = &model {
                assert_eq!(model.forward(&[1, 2]).unwrap().shape(), [1, 2, 1024]);
            }
            if let Some(tokenizer) = &tokenizer {
                assert_eq!(tokenizer.decode(&tokenizer.encode("be").unwrap()).unwrap(), "be");
            }
        }
    }
}

#[test]
fn a_state_and_results_outlive_their_model() {
    let model = open(package("stateful"));
    let x = Tensor::new([2, 4], vec![1.0f32; 8]).unwrap();
    let mut state = model.make_state().unwrap();
    let outputs = model.predict_with([("x", &x)], &mut state).unwrap();
    drop(model);
    assert_eq!(outputs["y"].to_f32().unwrap(), [1.0; 8]);
    assert_eq!(state.get("memory").unwrap().to_f32().unwrap(), [1.0; 8]);
    let again = open(package("stateful"));
    assert_eq!(
        again.predict_with([("x", &x)], &mut state).unwrap()["y"].to_f32().unwrap(),
        [2.0; 8]
    );
}
