# One file, no recursion. Nothing is written outside $(BUILD), but by install and deps. `make` lists the targets.
# Respected: BUILD CC CXX CPPFLAGS CFLAGS LDFLAGS LDLIBS PREFIX DESTDIR, RUN (goes before test programs: an emulator,
# a debugger), V=1 (show commands and output), CI=true (warnings, and parts left out of `make test`, are failures).

BUILD   ?= build
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
PYTHON  ?= python3
VENV    ?= $(BUILD)/venv
OUTPUT  ?= $(BUILD)/performance.md
CLANG   ?= clang
CLANGXX ?= clang++
GCC     ?= $(if $(shell command -v gcc),gcc,$(CC))
# the 32-bit packages that get along with cross compilers lack the link /usr/include/asm
M32     ?= -m32 $(addprefix -idirafter ,$(wildcard /usr/include/x86_64-linux-gnu))
S390X_CC   ?= s390x-linux-gnu-gcc
QEMU_S390X ?= qemu-s390x-static
VALGRIND   ?= valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect

Q       := $(if $(filter 1,$(V)),,@)
VERSION := $(shell sed -n 's/^.define SHARDIO_VERSION_STRING "\(.*\)"/\1/p' shardio.h)
WARN    := -Wall -Wextra -Wpedantic -Wshadow $(if $(filter true,$(CI)),-Werror)
OWN     := -I. $(WARN) -Wconversion -Wsign-conversion
TESTING := -I. $(WARN) -Wno-unused-function -pthread
SANITIZE := -O0 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

TOOL     := $(BUILD)/shardio
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(filter-out examples/shardio.c,$(wildcard examples/*.c)))
TESTS    := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
THREADED := $(filter %_threads,$(TESTS))
BENCHES  := $(patsubst bench/%.c,$(BUILD)/bench_%,$(wildcard bench/*.c))

.PHONY: help examples demo test test-c test-sanitize test-tsan test-cxx test-compile test-valgrind test-m32 test-s390x \
        interop bench bench-peers deps install clean FORCE
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help: ## this list
	@echo "shardio.h $(VERSION)"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "  %-20s %s\n", $$1, $$2 }'

# ---- codecs on libraries --------------------------------------------------------------------------------------
# Compiled into the tool and into the tests of this machine, each if its library is there: $(with) holds the flags.

WITH_zstd  := -DSHARDIO_WITH_ZSTD -lzstd
WITH_zlib  := -DSHARDIO_WITH_ZLIB -lz
WITH_blosc := -DSHARDIO_WITH_BLOSC -lblosc
WITH_lz4   := -DSHARDIO_WITH_LZ4 -llz4
LIBRARIES  := zstd zlib blosc lz4
WITH_curl  := -DSHARDIO_HTTP -lcurl
ifneq ($(filter-out help deps clean,$(MAKECMDGOALS)),)
FOUND := $(shell CC='$(CC)' sh tests/have $(BUILD)/have $(LIBRARIES) curl)
endif
ADAPTERS := $(foreach l,$(filter $(LIBRARIES),$(FOUND)),$(WITH_$(l)))
HTTP     := $(if $(filter curl,$(FOUND)),$(WITH_curl))
with :=
$(BUILD)/bench/pack $(BUILD)/bench/crc $(foreach v,c asan-gcc asan-clang tsan cxx interop,$(BUILD)/$(v)/%): with := $(ADAPTERS)
$(foreach d,examples asan-gcc,$(BUILD)/$(d)/shardio): with := $(ADAPTERS) $(HTTP)
$(foreach d,interop asan-gcc,$(BUILD)/$(d)/http_driver) $(BUILD)/examples/mirror: with := $(HTTP)
$(BUILD)/examples/pack_threads: with := $(if $(filter zstd,$(FOUND)),$(WITH_zstd)) -pthread

# ---- compiling ------------------------------------------------------------------------------------------------
# $(eval $(call compile,DIR,COMMAND)) builds programs in DIR with the command in the variable COMMAND, which is
# kept in DIR/.flags so that other flags build anew; $(eval $(call from,DIR,SOURCES,COMMAND)) says from which sources.

define compile
$(1)/.flags: FORCE
	@mkdir -p $(1)
	@echo '$$(subst ','\'',$$($(2)) $$(CPPFLAGS) $$(ADAPTERS) $$(HTTP) $$(LDFLAGS) $$(LDLIBS))' >$$@.new
	@if cmp -s $$@.new $$@; then rm $$@.new; else mv $$@.new $$@; fi
-include $$(wildcard $(1)/*.d)
endef
define from
$(1)/%: $(2)/%.c $(1)/.flags
	$$(if $$(Q),@echo "  build $$@")
	$$(Q)$$($(3)) $$(filter -D%,$$(with)) $$(CPPFLAGS) -MMD -MP -MF $$@.d $$(LDFLAGS) -o $$@ $$< $$(filter -l% -pthread,$$(with)) $$(LDLIBS)
endef

tool       = $(CC) -std=c99 $(OWN) $(CFLAGS)
c          = $(CC) -std=c99 $(TESTING) $(CFLAGS)
asan-gcc   = $(GCC) -std=c99 $(TESTING) $(SANITIZE)
asan-clang = $(CLANG) -std=c99 $(TESTING) $(SANITIZE)
tsan       = $(GCC) -std=c99 $(TESTING) -O1 -g -fno-omit-frame-pointer -fsanitize=thread
cxx        = $(CXX) -x c++ -std=c++11 $(TESTING) -O0 -g
m32        = $(CC) $(M32) -std=c99 $(TESTING) -O1 -g
s390x      = $(S390X_CC) -static -std=c99 $(TESTING) -O1 -g

VARIANTS := c asan-gcc asan-clang tsan cxx m32 s390x
$(foreach v,$(VARIANTS),$(eval $(call compile,$(BUILD)/$(v),$(v)))$(eval $(call from,$(BUILD)/$(v),tests,$(v))))
$(foreach d,examples tests/interop,$(eval $(call from,$(BUILD)/asan-gcc,$(d),asan-gcc)))
$(foreach d,examples bench,$(eval $(call compile,$(BUILD)/$(d),tool))$(eval $(call from,$(BUILD)/$(d),$(d),tool)))
$(eval $(call compile,$(BUILD)/interop,tool))$(eval $(call from,$(BUILD)/interop,tests/interop,tool))

$(TOOL): $(BUILD)/examples/shardio
	@cp -f $< $@
$(BUILD)/bench_%: $(BUILD)/bench/%
	@cp -f $< $@

examples: $(TOOL) $(EXAMPLES) ## the tool build/shardio, the small programs build/examples/*

# ---- demo -----------------------------------------------------------------------------------------------------

DEMO := $(BUILD)/demo
demo: $(TOOL) ## a 4-D MRI series into shards and back
	@rm -rf $(DEMO) && mkdir -p $(DEMO)
	$(TOOL) import --chunks 1,8,48,64 --shards 1,24,96,128 --names t,z,y,x examples/data/mri4d.npy $(DEMO)/mri4d.zarr
	$(TOOL) verify $(DEMO)/mri4d.zarr
	$(TOOL) info $(DEMO)/mri4d.zarr
	$(TOOL) layout $(DEMO)/mri4d.zarr
	$(TOOL) export --format npy $(DEMO)/mri4d.zarr $(DEMO)/mri4d.npy
	cmp examples/data/mri4d.npy $(DEMO)/mri4d.npy
	@echo "demo: $(DEMO)/mri4d.npy came back byte for byte"

# ---- tests ----------------------------------------------------------------------------------------------------
# What works here is found by trying; tests/run runs the programs and adds up.

ifneq ($(filter test test-% interop,$(MAKECMDGOALS)),)
HAVE := $(shell CC='$(CC)' GCC='$(GCC)' CLANG='$(CLANG)' CXX='$(CXX)' M32='$(M32)' S390X_CC='$(S390X_CC)' \
                QEMU_S390X='$(QEMU_S390X)' sh tests/have $(BUILD)/have)
endif
have     = $(filter $(1),$(HAVE))
programs = $(TESTS:%=$(BUILD)/$(1)/%)
# $(call part,word of tests/have,directory,name,why not): the programs if the word is there
needs    = $(if $(call have,$(1)),$(call programs,$(2)))
part     = $(if $(call have,$(1)),'=$(3)' $(call programs,$(2)),'!$(3): $(4)')
run      = @$(PYTHON) tests/run --tmp $(BUILD)/tmp --wrap '$(RUN)'

PART_C       = '=C tests' $(call programs,c) \
               $(foreach l,$(filter-out $(FOUND),$(LIBRARIES)),'!codec on $(l): library not installed: make deps')
PART_GCC     = $(call part,asan-gcc,asan-gcc,sanitized gcc,no gcc with the address sanitizer: make deps)
PART_CLANG   = $(call part,asan-clang,asan-clang,sanitized clang,no clang with the address sanitizer: make deps)
PART_TSAN    = $(if $(call have,tsan),'=threads' $(THREADED:%=$(BUILD)/tsan/%),\
               '!threads: no gcc with the thread sanitizer: make deps')
PART_CXX     = $(call part,cxx,cxx,as C++11,no C++ compiler: make deps)
PART_COMPILE = '=compile' '$(PYTHON) tests/compile/check.py'
PART_INTEROP = '=interop' '$(PYTHON) tests/interop/tool.py' '$(PYTHON) tests/interop/golden.py' \
               '$(PYTHON) tests/interop/peers.py' '$(PYTHON) tests/interop/nodes.py' \
               '$(PYTHON) tests/interop/tool_peers.py' '$(PYTHON) tests/interop/packs.py' \
               '$(PYTHON) tests/interop/archives.py' '$(PYTHON) tests/interop/archive_peers.py' \
               '$(PYTHON) tests/interop/http.py'
NEED_SANITIZE = $(call needs,asan-gcc,asan-gcc) $(call needs,asan-clang,asan-clang)
NEED_TSAN = $(if $(call have,tsan),$(THREADED:%=$(BUILD)/tsan/%))
NEED_INTEROP = $(TOOL) $(addprefix $(BUILD)/examples/,pack pack_threads) \
               $(addprefix $(BUILD)/interop/,driver nodes_driver pack_driver archive_driver) \
               $(if $(call have,asan-gcc),$(addprefix $(BUILD)/asan-gcc/,shardio driver pack_driver archive_driver)) \
               $(if $(HTTP),$(BUILD)/examples/mirror $(BUILD)/interop/http_driver $(if $(call have,asan-gcc),$(BUILD)/asan-gcc/http_driver))

export BUILD VENV CC GCC CLANG CXX CLANGXX M32 CI

test: $(call programs,c) $(NEED_SANITIZE) $(NEED_TSAN) $(call needs,cxx,cxx) $(NEED_INTEROP) ## C tests, plain, sanitized and as C++11; compile checks; interoperability
	$(run) $(PART_C) $(PART_GCC) $(PART_CLANG) $(PART_TSAN) $(PART_CXX) $(PART_COMPILE) $(PART_INTEROP)

test-valgrind: $(call programs,c) ## the C tests under valgrind
	@$(PYTHON) tests/run --tmp $(BUILD)/tmp --wrap '$(VALGRIND)' \
	 $(call part,valgrind,c,valgrind,not installed: make deps)

test-m32: $(call needs,m32,m32) ## the C tests as a 32-bit program
	$(run) $(call part,m32,m32,32-bit,no compiler for 32 bits: make deps)

test-s390x: $(call needs,s390x,s390x) ## the C tests on a big-endian machine (s390x, emulated)
	@$(PYTHON) tests/run --tmp $(BUILD)/tmp --wrap '$(QEMU_S390X)' \
	 $(call part,s390x,s390x,s390x,no s390x compiler or emulator: make deps)

test-c: $(call programs,c) ## of `make test`: the C tests
	$(run) $(PART_C)

test-sanitize: $(NEED_SANITIZE) ## of `make test`: the C tests under address and undefined-behaviour sanitizers
	$(run) $(PART_GCC) $(PART_CLANG)

test-tsan: $(NEED_TSAN) ## of `make test`: the C tests with threads under the thread sanitizer
	$(run) $(PART_TSAN)

test-cxx: $(call needs,cxx,cxx) ## of `make test`: the C tests compiled as C++11
	$(run) $(PART_CXX)

test-compile: ## of `make test`: the header under many compilers and options, without a warning
	$(run) $(PART_COMPILE)

interop: $(NEED_INTEROP) ## of `make test`: arrays to and from zarr-python, tensorstore and zarrs; golden files
	$(run) $(PART_INTEROP)

# ---- the rest -------------------------------------------------------------------------------------------------

bench: $(BENCHES) $(TOOL) ## measure, as a Markdown table; QUICK=1: small sizes, to see that it runs
	@$(PYTHON) bench/run.py --build $(BUILD) $(if $(QUICK),--quick,--output $(OUTPUT))

bench-peers: ## what `make bench` compares with, below $(BUILD): from PyPI, and with cargo from crates.io
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -r bench/requirements.txt
	cargo build --release --locked --manifest-path bench/peers-rust/Cargo.toml --target-dir $(BUILD)/peers-rust

deps: ## install what the tests can use (Debian; as root)
	@BUILD=$(BUILD) sh .ci/deps

install: $(TOOL) ## header and tool below PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/bin
	install -m 644 shardio.h $(DESTDIR)$(PREFIX)/include/shardio.h
	install -m 755 $(TOOL) $(DESTDIR)$(PREFIX)/bin/shardio

clean: ## remove $(BUILD)
	rm -rf $(BUILD)
