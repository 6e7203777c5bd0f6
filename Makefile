# Two commands for newcomers: `make demo` and `make test`. Each installs what it needs into .venv.
# For systems without make, such as Windows, the README lists plain Python commands.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo docs test test-slow lint clean

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing PyTorch and the rest into $(VENV); this takes a minute or more ..."
	$(RUN) -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

# Samples from a trained model at once; then a short training run on built-in digits, which takes
# minutes on two cores and needs no download.
demo: $(VENV)/.installed
	$(RUN) sample.py --checkpoint mnist_one_step --output outputs/first/mnist.png
	$(RUN) visualize_diffusion.py --dataset digits
	$(RUN) train.py --dataset digits --class_conditional --subset 18000 --epochs 3 --batch_size 32 --lr 1e-3
	$(RUN) sample.py --steps 200 --show_intermediate --gif
	@echo "Pictures to look at:"
	@ls outputs/first/*.png outputs/*.png outputs/*.gif outputs/samples/*.png outputs/intermediate/*.png

# Makes the page of all options and the README's pictures again; trains on MNIST, which takes about an
# hour on two cores.
docs: $(VENV)/.installed-dev
	$(RUN) docs/options.py
	$(RUN) docs/build.py

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -m "not slow" -n auto

test-slow: $(VENV)/.installed-dev
	$(RUN) -m pytest -m slow

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
