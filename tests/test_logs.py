import contextlib
import io
import logging

from mnistlib import logs


def test_log_goes_to_standard_output_as_it_is_at_that_moment_and_once(capsys):
    before = logs.log.handlers[:], logs.log.level
    try:
        logs.to_stdout()
        logs.to_stdout()
        logs.log.info("one %d", 1)
        with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
            logging.getLogger("mnistlib").info("two")
        assert capsys.readouterr().out == "one 1\n"
        assert elsewhere.getvalue() == "two\n"
    finally:
        logs.log.handlers[:], logs.log.level = before
