"""A process that was forked after the model was used: it computes, or says that it cannot."""

import os
import subprocess
import sys
import textwrap

import pytest


def run_script(body: str, *arguments: str) -> str:
    """What `body` prints as a process of its own; one that hangs is a failure."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def student(example):
    return str(example / "student.mlpackage")


def test_children_of_fork_predict_what_their_parent_predicts(student):
    script = """
        import multiprocessing, sys
        import numpy as np, millwright as mw
        model = mw.MLModel(sys.argv[1])
        inputs = {"input_ids": np.arange(64, dtype=np.int32)[None]}
        def total(_):
            return float(next(iter(model.predict(inputs).values())).sum())
        expected = total(0)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(total, range(4)) == [expected] * 4
        assert total(0) == expected
        print("done")
    """
    assert run_script(script, student) == "done\n"


def test_children_of_fork_train_as_their_parent_trains(student):
    script = """
        import os, sys
        import numpy as np, millwright as mw
        student = mw.StudentModel(mw.MLModel(sys.argv[1]), optimizer=mw.SGD(learning_rate=0.1))
        ids = np.arange(64, dtype=np.int32)[None]
        batch = {"input_ids": ids, "labels": ids}
        student.training_step(batch)
        child = os.fork()
        loss = student.training_step(batch).loss
        if child == 0:
            print(loss, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(loss)
    """
    ours, theirs = run_script(script, student).split()
    assert ours == theirs


def test_a_child_forked_beside_a_computation_computes_or_names_spawn(student):
    script = """
        import os, sys, threading
        import numpy as np, millwright as mw
        model = mw.MLModel(sys.argv[1])
        inputs = {"input_ids": np.arange(64, dtype=np.int32)[None]}
        model.predict(inputs)
        over = threading.Event()
        def keep_busy():
            while not over.is_set():
                model.predict(inputs)
        busy = threading.Thread(target=keep_busy)
        busy.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                try:
                    model.predict(inputs)
                except mw.Error as error:
                    os._exit(0 if "'spawn'" in str(error) else 3)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        busy.join()
        print("done")
    """
    assert run_script(script, student) == "done\n"
