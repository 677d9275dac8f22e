# The npm lock names no registry, and the chain binary of machines other than linux-amd64 without a hash.
# setup: pinned npm packages and compiled contracts for the tests; does nothing when they are current.
# features: prints the features that everything here is built with, so that nothing is built twice: those of a release but
# AWS's client, which takes half as long to build as all the rest.
# keys: the tests of keys on devices and in the cloud, with AWS's client. Not in .ci/run, which only checks that it compiles.
# Run it when signer changes.
# browser: the tests that drive a real Chromium (Debian's package, or what CHROMIUM names) with a wallet in it; each is skipped with a
# line where there is none. They are part of test as well.
# thorough: the tests, with every case of the matrices of which test makes a fixed sample.
# test, rehearsal, bench: setup, then what they are called; `make bench BENCH=--quick` is shorter. Needs cargo, node 20
# and npm. ONLY goes to cargo's tests: make test ONLY="--test it -- webhooks::".
# versions: the kill tests by two versions of the binary, one until it dies and the other after; BASE=COMMIT names the other.
# oracle: the image list beside go-yaml, the reader of Docker Compose, over the texts of the thorough differential test, and
# its vectors anew. Needs Debian's golang-go and golang-gopkg-yaml.v3-dev, whose files it takes without a network.
# fuzz: what strangers send, mutated, for TIME seconds, which the targets share; ONLY names some of them. See
# docs/src/verification/fuzzing.md. Needs a C++ compiler.
# timelock-code: makes the table of timelocks that are known by their code anew; thorough compares it.

# dist: what is installed, in target/dist: the static binary, its archive, a list of components and the sums of them. Takes long, and
# gives the same bytes wherever the same commit is built; see docs/src/howto/install.md. Needs the compiler that .ci/dist names.

.PHONY: setup features test thorough browser keys rehearsal bench timelock-code versions oracle fuzz dist
.DELETE_ON_ERROR:

PACKAGES := tests/node/node_modules/.installed
CONTRACTS := tests/contracts/out/.compiled
COMPILERS := tests/node/timelocks/node_modules/.installed
FEATURES := --no-default-features --features cli,keystore,ledger
FAILPOINTS := $(FEATURES),failpoints,attest-test-root
# In a folder of its own: what is built with the root of a test is never taken for anything else.
REHEARSAL := $(FEATURES),attest-test-root --target-dir target/rehearsal

features:
	@echo $(FAILPOINTS)

setup: $(CONTRACTS)

$(PACKAGES): tests/node/package.json tests/node/package-lock.json tests/node/.npmrc
	cd tests/node && npm ci --no-audit --no-fund --ignore-scripts
	touch $@

$(CONTRACTS): $(PACKAGES) tests/node/compile.mjs $(wildcard tests/contracts/*.sol)
	node tests/node/compile.mjs
	touch $@

$(COMPILERS): tests/node/timelocks/package.json tests/node/timelocks/package-lock.json tests/node/timelocks/.npmrc
	cd tests/node/timelocks && npm ci --no-audit --no-fund --ignore-scripts
	touch $@

timelock-code: $(COMPILERS)
	node tests/node/timelock_code.mjs > target/known_code.csv
	mv target/known_code.csv src/chain/timelock/known_code.csv

thorough: setup $(COMPILERS)
	COUNTERSIGN_THOROUGH=1 cargo test --locked $(FAILPOINTS)

target/oracle/compose_images: tests/go/compose_images.go
	mkdir -p $(@D)
	GO111MODULE=off GOPATH=/usr/share/gocode go build -o $@ $<

oracle: setup target/oracle/compose_images
	COUNTERSIGN_ORACLE=$(CURDIR)/target/oracle/compose_images \
		cargo test --locked $(FAILPOINTS) --test it -- compose::oracle:: --nocapture

# Tests wait for blocks and servers, and keep what they write for no longer than they run: more of them at once than there
# are cores, in memory where there is a file system for that.
export RUST_TEST_THREADS ?= $(shell expr 3 '*' $$(getconf _NPROCESSORS_ONLN))
test thorough: export TMPDIR ?= $(firstword $(shell test -w /dev/shm && echo /dev/shm) /tmp)

test: setup
	cargo test --locked $(FAILPOINTS) $(ONLY)

TIME ?= 60

browser: setup
	cargo test --locked $(FAILPOINTS) --test it -- signer::chromium:: --nocapture

dist:
	.ci/dist

fuzz:
	tests/fuzz/run.sh $(TIME) $(ONLY)

versions: setup
	tests/versions.sh

keys: setup
	cargo test --locked --all-features --lib -- signer::
	cargo test --locked --all-features --test it -- keys:: canaries::

rehearsal: setup
	cargo build --locked $(REHEARSAL) --bins --example rehearsal
	cargo run --locked $(REHEARSAL) --example rehearsal

bench: setup
	cargo bench --locked --bench inside
	cargo bench --locked --bench side_by_side -- $(BENCH)
