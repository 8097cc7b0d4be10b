# Makes the small packages in this folder with coremltools 9.0: python make_fixtures.py
import os
import shutil

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import get_new_symbol, types

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)


def weight(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def save(model, name):
    path = os.path.join(HERE, name + ".mlpackage")
    shutil.rmtree(path, ignore_errors=True)
    model.save(path)


def convert(program, target, **options):
    return ct.convert(
        program,
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )


def linear():
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 4))], opset_version=ct.target.iOS16)
    def prog(x):
        return mb.linear(x=x, weight=weight(3, 4), bias=weight(3), name="y")

    model = convert(prog, ct.target.iOS16)
    model.short_description = "A linear layer"
    model.author = "Millwright"
    model.license = "none"
    model.version = "1.0"
    model.user_defined_metadata["key"] = "value \u00d7"
    model.input_description["x"] = "rows of four"
    save(model, "linear")


def range_shape():
    @mb.program(input_specs=[mb.TensorSpec(shape=(get_new_symbol(), 4))], opset_version=ct.target.iOS17)
    def prog(x):
        return mb.relu(x=x, name="y")

    shape = ct.Shape(shape=(ct.RangeDim(1, 8, default=2), 4))
    save(convert(prog, ct.target.iOS17, inputs=[ct.TensorType(name="x", shape=shape)]), "range_shape")


def enumerated_shapes():
    @mb.program(input_specs=[mb.TensorSpec(shape=(get_new_symbol(), 4))], opset_version=ct.target.iOS17)
    def prog(x):
        return mb.relu(x=x, name="y")

    shape = ct.EnumeratedShapes(shapes=[(2, 4), (1, 4), (8, 4)])
    model = convert(prog, ct.target.iOS17, inputs=[ct.TensorType(name="x", shape=shape)])
    save(model, "enumerated_shapes")


def image():
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, 4, 4))], opset_version=ct.target.iOS16)
    def prog(image):
        return mb.relu(x=image, name="y")

    inputs = [ct.ImageType(name="image", shape=(1, 3, 4, 4), color_layout=ct.colorlayout.BGR)]
    save(convert(prog, ct.target.iOS16, inputs=inputs), "image")


def classifier():
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3))], opset_version=ct.target.iOS16)
    def prog(x):
        return mb.softmax(x=x, axis=-1, name="p")

    labels = ct.ClassifierConfig(["cat", "dog", "fish"])
    save(convert(prog, ct.target.iOS16, classifier_config=labels), "classifier")


def control_flow():
    @mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=ct.target.iOS17)
    def prog(x):
        total = mb.reduce_sum(x=x, axes=[0], keep_dims=False)
        flag = mb.less(x=total, y=1.0)
        chosen = mb.cond(
            pred=flag, _true_fn=lambda: mb.add(x=x, y=1.0), _false_fn=lambda: mb.sub(x=x, y=1.0)
        )

        def body(count, value):
            return mb.add(x=count, y=1), mb.mul(x=value, y=2.0)

        loop = mb.while_loop(
            _cond=lambda count, value: mb.less(x=count, y=3), _body=body, loop_vars=(0, chosen)
        )
        return mb.identity(x=loop[1], name="y")

    save(convert(prog, ct.target.iOS17), "control_flow")


def stateful():
    @mb.program(
        input_specs=[mb.TensorSpec(shape=(2, 4)), mb.StateTensorSpec((2, 4), dtype=types.fp16)],
        opset_version=ct.target.iOS18,
    )
    def prog(x, memory):
        old = mb.read_state(input=memory)
        total = mb.add(x=old, y=mb.cast(x=x, dtype="fp16"))
        kept = mb.coreml_update_state(state=memory, value=total)
        return mb.cast(x=kept, dtype="fp32", name="y")

    save(convert(prog, ct.target.iOS18), "stateful")


def palette():
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 8))], opset_version=ct.target.iOS18)
    def prog(x):
        return mb.linear(x=x, weight=weight(8, 8), name="y")

    config = ct.optimize.coreml.OpPalettizerConfig(mode="uniform", nbits=3, weight_threshold=1)
    model = ct.optimize.coreml.palettize_weights(
        convert(prog, ct.target.iOS18),
        ct.optimize.coreml.OptimizationConfig(global_config=config),
    )
    save(model, "palette")


def two_functions():
    import tempfile

    shared = weight(4, 4)

    def one(scale):
        @mb.program(input_specs=[mb.TensorSpec(shape=(2, 4))], opset_version=ct.target.iOS18)
        def prog(x):
            return mb.mul(x=mb.linear(x=x, weight=shared), y=scale, name="y")

        return convert(prog, ct.target.iOS18)

    with tempfile.TemporaryDirectory() as folder:
        descriptor = ct.utils.MultiFunctionDescriptor()
        for name, scale in (("double", 2.0), ("triple", 3.0)):
            part = os.path.join(folder, name + ".mlpackage")
            one(scale).save(part)
            descriptor.add_function(part, src_function_name="main", target_function_name=name)
        descriptor.default_function_name = "triple"
        out = os.path.join(HERE, "two_functions.mlpackage")
        shutil.rmtree(out, ignore_errors=True)
        ct.utils.save_multifunction(descriptor, out)


def where_scalars():
    """A causal mask of two numbers: coremltools declares it, and what follows, without its extents."""

    @mb.program(input_specs=[mb.TensorSpec(shape=(get_new_symbol(), 4))], opset_version=ct.target.iOS17)
    def prog(x):
        length = mb.gather(x=mb.shape(x=x), indices=0, axis=0)
        places = mb.range_1d(start=0, end=length, step=1)
        before = mb.less_equal(
            x=mb.expand_dims(x=places, axes=[0]), y=mb.expand_dims(x=places, axes=[1])
        )
        mask = mb.select(cond=before, a=np.float32(0), b=np.float32(-1e4))
        scores = mb.matmul(x=mb.linear(x=x, weight=weight(4, 4)), y=x, transpose_y=True)
        attention = mb.softmax(x=mb.add(x=scores, y=mask), axis=-1)
        mixed = mb.matmul(x=attention, y=x)
        return mb.linear(x=mixed, weight=weight(3, 4), name="y"), mb.identity(x=mask, name="mask")

    shape = ct.Shape(shape=(ct.RangeDim(1, 8, default=2), 4))
    save(convert(prog, ct.target.iOS17, inputs=[ct.TensorType(name="x", shape=shape)]), "where_scalars")


def returned_twice():
    @mb.program(
        input_specs=[mb.TensorSpec(shape=(2, 4)), mb.StateTensorSpec((2, 4), dtype=types.fp16)],
        opset_version=ct.target.iOS18,
    )
    def prog(x, memory):
        total = mb.add(x=mb.read_state(input=memory), y=mb.cast(x=x, dtype="fp16"))
        kept = mb.cast(x=mb.coreml_update_state(state=memory, value=total), dtype="fp32", name="kept")
        y = mb.linear(x=x, weight=weight(3, 4), name="y")
        return y, kept, y, kept

    save(convert(prog, ct.target.iOS18), "returned_twice")


for make in (linear, range_shape, enumerated_shapes, image, classifier, control_flow, stateful):
    make()
palette()
two_functions()
where_scalars()
returned_twice()
