//! `millwright/millwright.h`.
use super::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

pub type mw_compute = c_uint;
pub const MW_COMPUTE_FP32: mw_compute = 0;
pub const MW_COMPUTE_FP64: mw_compute = 1;
pub const MW_COMPUTE_FP16: mw_compute = 2;
pub const MW_COMPUTE_BF16: mw_compute = 3;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_load_options {
    pub function: *const c_char,
    pub threads: c_int,
    pub compute: mw_compute,
    pub adapter: *const c_char,
    pub device: *const c_char,
}

pub type mw_optimizer = c_uint;
pub const MW_ADAMW: mw_optimizer = 0;
pub const MW_ADAM: mw_optimizer = 1;
pub const MW_SGD: mw_optimizer = 2;

pub type mw_schedule = c_uint;
pub const MW_SCHEDULE_CONSTANT: mw_schedule = 0;
pub const MW_SCHEDULE_LINEAR: mw_schedule = 1;
pub const MW_SCHEDULE_COSINE: mw_schedule = 2;

pub type mw_loss = c_uint;
pub const MW_LOSS_CROSS_ENTROPY: mw_loss = 0;
pub const MW_LOSS_MEAN_SQUARED_ERROR: mw_loss = 1;
pub const MW_LOSS_OUTPUT: mw_loss = 2;
pub const MW_LOSS_BINARY_CROSS_ENTROPY: mw_loss = 3;

pub const MW_CLASS_AXIS_FROM_LABELS: i64 = i64::MAX;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_parameter_group {
    pub glob: *const c_char,
    pub learning_rate_factor: f32,
    pub weight_decay: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_student_options {
    pub size: usize,
    pub optimizer: mw_optimizer,
    pub learning_rate: f32,
    pub weight_decay: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    pub momentum: f32,
    pub nesterov: c_int,
    pub schedule: mw_schedule,
    pub warmup_steps: i64,
    pub total_steps: i64,
    pub final_factor: f32,
    pub trainable: *const *const c_char,
    pub trainable_count: usize,
    pub groups: *const mw_parameter_group,
    pub group_count: usize,
    pub loss: mw_loss,
    pub target: *const c_char,
    pub label_smoothing: f32,
    pub clip_norm: f32,
    pub wrt_inputs: *const *const c_char,
    pub wrt_input_count: usize,
    pub memory: u64,
    pub lora_rank: i64,
    pub lora_alpha: f32,
    pub lora_targets: *const *const c_char,
    pub lora_target_count: usize,
    pub lora_seed: u64,
    pub class_axis: i64,
    pub pos_weight: *const f32,
    pub pos_weight_count: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_distill_options {
    pub temperature: f32,
    pub alpha: f32,
    pub target: *const c_char,
    pub cache: *const c_char,
    pub top_k: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_batch {
    pub tensors: *const mw_tensor,
    pub count: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_step_result {
    pub step: i64,
    pub tokens: i64,
    pub loss: f64,
    pub grad_norm: f64,
    pub learning_rate: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_parameter {
    pub name: *const c_char,
    pub rank: usize,
    pub shape: *const i64,
    pub stored: *const c_char,
    pub trained: c_int,
    pub reason: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_training_step {
    pub step: i64,
    pub tokens: i64,
    pub loss: f64,
    pub valid_loss: f64,
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub seconds: f64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_training_progress {
    pub taken: mw_training_step,
    pub steps: i64,
    pub valid_loss: f64,
    pub per_second: f64,
    pub seconds_left: f64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_generation {
    pub text: *const c_char,
    pub text_size: usize,
    pub ids: *const i32,
    pub id_count: usize,
    pub end: *const c_char,
    pub reason: *const c_char,
    pub prompt_tokens: i64,
    pub reused_tokens: i64,
    pub first_token_seconds: f64,
    pub seconds: f64,
    pub tokens_per_second: f64,
    pub notes: *const *const c_char,
    pub note_count: usize,
    pub held: *mut c_void,
}

pub type mw_tell_text =
    Option<unsafe extern "C" fn(piece: *const c_char, size: usize, user: *mut c_void) -> c_int>;

pub type mw_tell_progress =
    Option<unsafe extern "C" fn(progress: *const mw_training_progress, user: *mut c_void) -> c_int>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct mw_training_report {
    pub interrupted: c_int,
    pub stopped_early: c_int,
    pub step: i64,
    pub written_step: i64,
    pub best_step: i64,
    pub tokens: i64,
    pub loss: f64,
    pub valid_loss: f64,
    pub best_loss: f64,
    pub test_loss: f64,
    pub seconds: f64,
    pub tokens_per_second: f64,
    pub step_bytes: u64,
    pub trained_numbers: i64,
    pub all_numbers: i64,
    pub objective: *const c_char,
    pub output: *const c_char,
    pub adapter: *const c_char,
    pub checkpoint: *const c_char,
    pub html: *const c_char,
    pub steps: *const mw_training_step,
    pub step_count: usize,
    pub notes: *const *const c_char,
    pub note_count: usize,
    pub warnings: *const *const c_char,
    pub warning_count: usize,
    pub held: *mut c_void,
}

opaque!(mw_student);

extern "C" {
    pub fn mw_last_error() -> *const c_char;
    pub fn mw_last_error_setting() -> *const c_char;
    pub fn mw_version() -> *const c_char;
    pub fn mw_model_load(
        path: *const c_char,
        options: *const mw_load_options,
        model: *mut *mut mw_model,
    ) -> mw_status;
    pub fn mw_model_load_with(
        path: *const c_char,
        settings: *const mw_settings,
        model: *mut *mut mw_model,
    ) -> mw_status;
    pub fn mw_model_free(model: *mut mw_model);
    pub fn mw_model_input_count(model: *const mw_model) -> usize;
    pub fn mw_model_output_count(model: *const mw_model) -> usize;
    pub fn mw_model_input_name(model: *const mw_model, index: usize) -> *const c_char;
    pub fn mw_model_output_name(model: *const mw_model, index: usize) -> *const c_char;
    pub fn mw_model_make_state(model: *const mw_model, state: *mut *mut mw_state) -> mw_status;
    pub fn mw_state_get(
        state: *const mw_state,
        name: *const c_char,
        value: *mut *mut mw_outputs,
    ) -> mw_status;
    pub fn mw_state_set(state: *mut mw_state, value: *const mw_tensor) -> mw_status;
    pub fn mw_state_reset(state: *mut mw_state);
    pub fn mw_state_free(state: *mut mw_state);
    pub fn mw_model_predict(
        model: *const mw_model,
        state: *mut mw_state,
        inputs: *const mw_tensor,
        input_count: usize,
        outputs: *mut *mut mw_outputs,
    ) -> mw_status;
    pub fn mw_model_forward(
        model: *const mw_model,
        ids: *const mw_tensor,
        logits: *mut *mut mw_outputs,
    ) -> mw_status;
    pub fn mw_outputs_count(outputs: *const mw_outputs) -> usize;
    pub fn mw_outputs_at(outputs: *const mw_outputs, index: usize) -> *const mw_tensor;
    pub fn mw_outputs_find(outputs: *const mw_outputs, name: *const c_char) -> *const mw_tensor;
    pub fn mw_outputs_free(outputs: *mut mw_outputs);
    pub fn mw_student_options_init(
        options: *mut mw_student_options,
        optimizer: mw_optimizer,
    ) -> mw_status;
    pub fn mw_student_create(
        model: *const mw_model,
        options: *const mw_student_options,
        student: *mut *mut mw_student,
    ) -> mw_status;
    pub fn mw_student_free(student: *mut mw_student);
    pub fn mw_settings_create(settings: *mut *mut mw_settings) -> mw_status;
    pub fn mw_settings_free(settings: *mut mw_settings);
    pub fn mw_settings_set(
        settings: *mut mw_settings,
        name: *const c_char,
        value: *const c_char,
    ) -> mw_status;
    pub fn mw_settings_set_number(
        settings: *mut mw_settings,
        name: *const c_char,
        value: f64,
    ) -> mw_status;
    pub fn mw_settings_set_list(
        settings: *mut mw_settings,
        name: *const c_char,
        values: *const *const c_char,
        count: usize,
    ) -> mw_status;
    pub fn mw_student_create_with(
        model: *const mw_model,
        settings: *const mw_settings,
        student: *mut *mut mw_student,
    ) -> mw_status;
    pub fn mw_student_set_teacher(
        student: *mut mw_student,
        teacher: *const mw_model,
        options: *const mw_distill_options,
    ) -> mw_status;
    pub fn mw_student_step(
        student: *mut mw_student,
        batches: *const mw_batch,
        batch_count: usize,
        result: *mut mw_step_result,
    ) -> mw_status;
    pub fn mw_student_backward(
        student: *mut mw_student,
        batch: *const mw_batch,
        gradients: *mut *mut mw_outputs,
        result: *mut mw_step_result,
    ) -> mw_status;
    pub fn mw_student_evaluate(
        student: *mut mw_student,
        batch: *const mw_batch,
        result: *mut mw_step_result,
    ) -> mw_status;
    pub fn mw_student_objective(
        student: *mut mw_student,
        batch: *const mw_batch,
        text: *mut *const c_char,
    ) -> mw_status;
    pub fn mw_student_class_count(student: *const mw_student) -> usize;
    pub fn mw_student_class_at(student: *const mw_student, index: usize) -> *const c_char;
    pub fn mw_student_step_bytes(student: *const mw_student) -> u64;
    pub fn mw_student_predict(
        student: *mut mw_student,
        inputs: *const mw_tensor,
        input_count: usize,
        outputs: *mut *mut mw_outputs,
    ) -> mw_status;
    pub fn mw_student_parameter_count(student: *const mw_student) -> usize;
    pub fn mw_student_parameter_at(student: *const mw_student, index: usize)
        -> *const mw_parameter;
    pub fn mw_student_get_parameter(
        student: *const mw_student,
        name: *const c_char,
        value: *mut *mut mw_outputs,
    ) -> mw_status;
    pub fn mw_student_set_parameter(student: *mut mw_student, value: *const mw_tensor)
        -> mw_status;
    pub fn mw_student_save_weights(student: *const mw_student, path: *const c_char) -> mw_status;
    pub fn mw_student_load_weights(student: *mut mw_student, path: *const c_char) -> mw_status;
    pub fn mw_student_state(student: *const mw_student, state: *mut *mut mw_outputs) -> mw_status;
    pub fn mw_student_load_state(
        student: *mut mw_student,
        tensors: *const mw_tensor,
        count: usize,
    ) -> mw_status;
    pub fn mw_student_save_checkpoint(student: *const mw_student, path: *const c_char)
        -> mw_status;
    pub fn mw_student_load_checkpoint(student: *mut mw_student, path: *const c_char) -> mw_status;
    pub fn mw_student_save_adapter(student: *const mw_student, path: *const c_char) -> mw_status;
    pub fn mw_student_save_adapter_named(
        student: *const mw_student,
        path: *const c_char,
        module_names: *const c_char,
    ) -> mw_status;
    pub fn mw_student_load_adapter(student: *mut mw_student, path: *const c_char) -> mw_status;
    pub fn mw_student_save(student: *mut mw_student, path: *const c_char) -> mw_status;
    pub fn mw_student_save_only_function(
        student: *mut mw_student,
        path: *const c_char,
    ) -> mw_status;
    pub fn mw_student_warning_count(student: *const mw_student) -> usize;
    pub fn mw_student_warning_at(student: *const mw_student, index: usize) -> *const c_char;
    pub fn mw_student_note_count(student: *const mw_student) -> usize;
    pub fn mw_student_note_at(student: *const mw_student, index: usize) -> *const c_char;
    pub fn mw_train(
        model: *const mw_model,
        settings: *const mw_settings,
        progress: mw_tell_progress,
        user: *mut c_void,
        report: *mut *const mw_training_report,
    ) -> mw_status;
    pub fn mw_distill(
        student: *const mw_model,
        teacher: *const mw_model,
        settings: *const mw_settings,
        progress: mw_tell_progress,
        user: *mut c_void,
        report: *mut *const mw_training_report,
    ) -> mw_status;
    pub fn mw_generate(
        model: *const mw_model,
        prompt: *const c_char,
        settings: *const mw_settings,
        tell: mw_tell_text,
        user: *mut c_void,
        generation: *mut *const mw_generation,
    ) -> mw_status;
    pub fn mw_generate_from_ids(
        model: *const mw_model,
        ids: *const mw_tensor,
        settings: *const mw_settings,
        tell: mw_tell_text,
        user: *mut c_void,
        generation: *mut *const mw_generation,
    ) -> mw_status;
    pub fn mw_generation_free(generation: *const mw_generation);
    pub fn mw_training_report_free(report: *const mw_training_report);
}
