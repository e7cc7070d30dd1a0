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
AARCH64_CC ?= aarch64-linux-gnu-gcc
RISCV64_CC ?= riscv64-linux-gnu-gcc
QEMU_S390X   ?= qemu-s390x-static
QEMU_AARCH64 ?= qemu-aarch64-static -cpu max
QEMU_RISCV64 ?= qemu-riscv64-static
MUSL_CC    ?= musl-gcc
TCC        ?= tcc
NODE       ?= node
MPICC      ?= mpicc
MPIRUN     ?= mpirun
MINGW      ?= x86_64-w64-mingw32-gcc
WINE       ?= wine
ZIG        ?= $(BUILD)/zig/bin/python -m ziglang
ZIG_CC     ?= env ZIG_GLOBAL_CACHE_DIR=$(abspath $(BUILD))/zig/cache ZIG_LOCAL_CACHE_DIR=$(abspath $(BUILD))/zig/cache $(ZIG) cc
VALGRIND   ?= valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect

Q       := $(if $(filter 1,$(V)),,@)
VERSION := $(shell sed -n 's/^.define SHARDIO_VERSION_STRING "\(.*\)"/\1/p' shardio.h)
WARN    := -Wall -Wextra -Wpedantic -Wshadow $(if $(filter true,$(CI)),-Werror)
OWN     := -I. $(WARN) -Wconversion -Wsign-conversion
TESTING := -I. $(WARN) -Wno-unused-function -pthread
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

TOOL     := $(BUILD)/shardio
EXAMPLES  = $(patsubst examples/%.c,$(BUILD)/examples/%,$(filter-out examples/shardio.c $(if $(MPI),,examples/mpi.c),$(wildcard examples/*.c)))
TESTS    := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
THREADED := $(filter %_threads,$(TESTS))
BENCHES  := $(patsubst bench/%.c,$(BUILD)/bench_%,$(wildcard bench/*.c))

.PHONY: help examples demo test test-c test-sanitize test-fuzz fuzz fuzz-fast fuzz-long test-tsan test-cxx test-compile \
        test-valgrind interop bench bench-peers deps install clean FORCE test-filesystems test-ports
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
FOUND := $(shell CC='$(CC)' MPICC='$(MPICC)' MPIRUN='$(MPIRUN)' sh tests/have $(BUILD)/have $(LIBRARIES) curl mpi)
endif
ADAPTERS := $(foreach l,$(filter $(LIBRARIES),$(FOUND)),$(WITH_$(l)))
HTTP     := $(if $(filter curl,$(FOUND)),$(WITH_curl))
MPI      := $(filter mpi,$(FOUND))
with :=
$(addprefix $(BUILD)/bench/,crc overlap pack write) $(foreach v,c asan-gcc asan-clang tsan cxx interop,$(BUILD)/$(v)/%): with := $(ADAPTERS)
$(foreach d,examples asan-gcc,$(BUILD)/$(d)/shardio): with := $(ADAPTERS) $(HTTP)
$(foreach d,interop asan-gcc,$(BUILD)/$(d)/http_driver): with := $(ADAPTERS) $(HTTP)
$(BUILD)/examples/mirror: with := $(HTTP)
$(BUILD)/examples/pack_threads: with := $(if $(filter zstd,$(FOUND)),$(WITH_zstd)) -pthread
$(BUILD)/examples/threads: with := -pthread
$(BUILD)/examples/mpi: private tool = $(MPICC) -std=c99 $(OWN) $(CFLAGS)

# ---- compiling ------------------------------------------------------------------------------------------------
# $(eval $(call compile,DIR,COMMAND)) builds programs in DIR with the command in the variable COMMAND, which is
# kept in DIR/.flags so that other flags build anew; $(eval $(call from,DIR,SOURCES,COMMAND,ENDING)) says from which
# sources, and how the names of programs end.

DEPENDENCIES = -MMD -MP -MT $@ -MF $@.d
define compile
$(1)/.flags: FORCE
	@mkdir -p $(1)
	@echo '$$(subst ','\'',$$($(2)) $$(CPPFLAGS) $$(ADAPTERS) $$(HTTP) $$(LDFLAGS) $$(LDLIBS))' >$$@.new
	@if cmp -s $$@.new $$@; then rm $$@.new; else mv $$@.new $$@; fi
-include $$(wildcard $(1)/*.d)
endef
define from
$(1)/%$(4): $(2)/%.c $(1)/.flags
	$$(if $$(Q),@echo "  build $$@")
	$$(Q)$$($(3)) $$(how) $$(filter -D%,$$(with)) $$(CPPFLAGS) $$(DEPENDENCIES) $$(LDFLAGS) -o $$@ $$< \
	 $$(addprefix -x none ,$$(filter %.o,$$^)) $$(filter -l% -pthread,$$(with)) $$(LDLIBS)
endef

how :=
tool       = $(CC) -std=c99 $(OWN) $(CFLAGS)
c          = $(CC) -std=c99 $(TESTING) $(CFLAGS)
asan-gcc   = $(GCC) -std=c99 $(TESTING) $(SANITIZE)
asan-clang = $(CLANG) -std=c99 $(TESTING) $(SANITIZE)
tsan       = $(GCC) -std=c99 $(TESTING) -O1 -g -fno-omit-frame-pointer -fsanitize=thread
cxx        = $(CXX) -x c++ -std=c++11 $(TESTING) -O0 -g

# Other machines, libraries and compilers, the words of tests/have.
PORTS    := m32 s390x aarch64 riscv64 musl tcc wasm windows macos-x86 macos-arm cxx20
ENDING_windows := .exe
port      = -std=c99 $(TESTING) -O1
m32       = $(CC) $(M32) $(port)
emulated  = -static -include tests/ports/qemu.h $(port)
s390x     = $(S390X_CC) $(emulated)
aarch64   = $(AARCH64_CC) $(emulated)
riscv64   = $(RISCV64_CC) $(emulated)
musl      = $(MUSL_CC) -static $(port) -O0
tcc       = $(TCC) -std=c99 $(TESTING)
# what the tests use of POSIX and WASI lacks is in tests/wasi; the library itself is compiled as it is
wasm      = $(ZIG_CC) -target wasm32-wasi -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_MMAN -D_WASI_EMULATED_PROCESS_CLOCKS \
            -D_WASI_EMULATED_GETPID -lwasi-emulated-signal -lwasi-emulated-mman -lwasi-emulated-process-clocks \
            -lwasi-emulated-getpid -Itests/wasi -include tests/wasi/posix.h $(port)
# the same for Windows is in tests/windows, where what is never called is only declared: gcc must optimize to link it
mingw     = $(MINGW) -D__USE_MINGW_ANSI_STDIO=1 -D_FILE_OFFSET_BITS=64 -static $(port)
windows   = $(mingw) -isystem tests/windows -include tests/windows/posix.h
macos-x86 = $(ZIG_CC) -target x86_64-macos $(port) -O0
macos-arm = $(ZIG_CC) -target aarch64-macos $(port) -O0
cxx20     = $(CXX) -x c++ -std=c++20 $(TESTING) -O0
$(BUILD)/tcc/%: DEPENDENCIES = -MD -MF $@.d

VARIANTS := c asan-gcc asan-clang tsan cxx $(PORTS)
$(foreach v,$(VARIANTS),$(eval $(call compile,$(BUILD)/$(v),$(v)))$(eval $(call from,$(BUILD)/$(v),tests,$(v),$(ENDING_$(v)))))

# The implementation takes long to compile, so this is done once for the tests that use nothing but the interface, and
# for the drivers of tests/interop. Any other test, and an example, has one of its own, static: what it does not use is
# not compiled. The sanitizers' checks are slow unless the optimizer has seen them; where little is called often, as in
# tests, that does not pay.
LINKED := $(addprefix test_,archive_foreign archive_unbuffered errors json mirror mirror_threads nodes recover shard slot statistics store_own \
                            zarr zarr_change zarr_codecs zarr_fuzz zarr_input zarr_life zarr_read zarr_update)
define share
$(1)/test_%: how = -DSHARDIO_STATIC
$(LINKED:%=$(1)/%$(ENDING_$(2))): how = -DTEST_LINKED $(if $(filter asan-%,$(2)),-O0)
$(LINKED:%=$(1)/%$(ENDING_$(2))): $(1)/shared.o
$(1)/shared.o: tests/shared.c $(1)/.flags
	$$(if $$(Q),@echo "  build $$@")
	$$(Q)$$($(2)) $$(filter -D%,$$(with)) $$(CPPFLAGS) $$(DEPENDENCIES) -c -o $$@ $$<
endef
$(foreach v,$(VARIANTS),$(eval $(call share,$(BUILD)/$(v),$(v))))
DRIVERS := driver archive_driver http_driver nodes_driver
$(DRIVERS:%=$(BUILD)/asan-gcc/%): how = -DTEST_LINKED -O0
$(DRIVERS:%=$(BUILD)/asan-gcc/%): $(BUILD)/asan-gcc/shared.o
$(DRIVERS:%=$(BUILD)/interop/%): how = -DTEST_LINKED
$(DRIVERS:%=$(BUILD)/interop/%): $(BUILD)/c/shared.o
$(BUILD)/examples/% $(BUILD)/bench/overlap: how = -DSHARDIO_STATIC
$(BUILD)/asan-gcc/shardio: how = -O0
$(BUILD)/tsan/threads: how = -DSHARDIO_STATIC
$(foreach d,examples tests/interop,$(eval $(call from,$(BUILD)/asan-gcc,$(d),asan-gcc)))
$(eval $(call from,$(BUILD)/tsan,examples,tsan))
$(foreach v,macos-x86 macos-arm,$(eval $(call from,$(BUILD)/$(v),examples,$(v))))
$(eval $(call from,$(BUILD)/windows,examples,mingw,.exe))
$(eval $(call from,$(BUILD)/windows,tests/windows,windows,.exe))
$(BUILD)/windows/shardio.exe: how = -DSHARDIO_STATIC
$(foreach d,examples bench,$(eval $(call compile,$(BUILD)/$(d),tool))$(eval $(call from,$(BUILD)/$(d),$(d),tool)))
$(eval $(call compile,$(BUILD)/interop,tool))$(eval $(call from,$(BUILD)/interop,tests/interop,tool))

# The fuzz targets: for libFuzzer in $(BUILD)/fuzz, and without sanitizers in $(BUILD)/fuzz-fast; as programs of `make test`
# beside the tests under gcc's sanitizers. Comparisons are not traced: that takes three quarters of the time, and the
# dictionaries have the words.
FUZZERS  := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz-fast = $(CLANG) -std=c99 $(TESTING) -O2 -g -fsanitize=fuzzer-no-link -fno-sanitize-coverage=trace-cmp
fuzz      = $(fuzz-fast) -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
define fuzzed
$(BUILD)/$(1)/%: with := $(ADAPTERS)
$(BUILD)/$(1)/fuzz_%: how = -DTEST_LINKED -DFUZZ_LIBFUZZER -fsanitize=fuzzer
$(FUZZERS:%=$(BUILD)/$(1)/%): $(BUILD)/$(1)/shared.o
$(call compile,$(BUILD)/$(1),$(1))
$(call share,$(BUILD)/$(1),$(1))
$(call from,$(BUILD)/$(1),tests/fuzz,$(1))
endef
$(foreach v,fuzz fuzz-fast,$(eval $(call fuzzed,$(v))))
$(BUILD)/asan-gcc/fuzz_%: how = -DTEST_LINKED -O0
$(FUZZERS:%=$(BUILD)/asan-gcc/%): $(BUILD)/asan-gcc/shared.o
$(eval $(call from,$(BUILD)/asan-gcc,tests/fuzz,asan-gcc))

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

ifneq ($(filter test test-% interop fuzz fuzz-%,$(MAKECMDGOALS)),)
HAVE := $(shell CC='$(CC)' GCC='$(GCC)' CLANG='$(CLANG)' CXX='$(CXX)' M32='$(M32)' S390X_CC='$(S390X_CC)' \
                QEMU_S390X='$(QEMU_S390X)' AARCH64_CC='$(AARCH64_CC)' QEMU_AARCH64='$(QEMU_AARCH64)' \
                RISCV64_CC='$(RISCV64_CC)' QEMU_RISCV64='$(QEMU_RISCV64)' MUSL_CC='$(MUSL_CC)' TCC='$(TCC)' NODE='$(NODE)' \
                ZIG_CC='$(ZIG_CC)' MINGW='$(MINGW)' WINE='$(WINE)' sh tests/have $(BUILD)/have)
endif
have     = $(filter $(1),$(HAVE))
programs = $(TESTS:%=$(BUILD)/$(1)/%)
# How much of its long loops a variant does, in percent: the plain run does all, the others look at the same with other
# eyes. make TEST_EFFORT=N ... says it for all.
EFFORT_asan-gcc   := 50
EFFORT_asan-clang := 50
EFFORT_cxx        := 20
EFFORT_valgrind   := 3
EFFORT_m32        := 10
$(foreach p,s390x aarch64 riscv64 musl tcc wasm windows cxx20,$(eval EFFORT_$(p) := 3))
# $(call part,word of tests/have,directory,name,why not): the programs if the word is there
needs    = $(if $(call have,$(1)),$(call programs,$(2)))
part     = $(if $(call have,$(1)),'=$(3)' --effort $(EFFORT_$(1)) $(call programs,$(2)),'!$(3): $(4)')
run      = @$(PYTHON) tests/run --tmp $(BUILD)/tmp --wrap '$(RUN)'

PART_C       = '=C tests' $(call programs,c) \
               $(foreach l,$(filter-out $(FOUND),$(LIBRARIES)),'!codec on $(l): library not installed: make deps')
PART_GCC     = $(call part,asan-gcc,asan-gcc,sanitized gcc,no gcc with the address sanitizer: make deps)
PART_CLANG   = $(call part,asan-clang,asan-clang,sanitized clang,no clang with the address sanitizer: make deps)
PART_TSAN    = $(if $(call have,tsan),'=threads' $(THREADED:%=$(BUILD)/tsan/%),\
               '!threads: no gcc with the thread sanitizer: make deps')
PART_CXX     = $(call part,cxx,cxx,as C++11,no C++ compiler: make deps)
NEED_FUZZ = $(if $(call have,asan-gcc),$(FUZZERS:%=$(BUILD)/asan-gcc/%))
PART_FUZZ = $(if $(NEED_FUZZ),'=fuzz targets' --effort $(EFFORT_asan-gcc) $(NEED_FUZZ),'!fuzz targets: no gcc with the address sanitizer: make deps')
PART_COMPILE = '=compile' '$(PYTHON) tests/compile/check.py' '$(PYTHON) tests/documents.py'
PART_INTEROP = '=interop' '$(PYTHON) tests/interop/tool.py' '$(PYTHON) tests/interop/golden.py' \
               '$(PYTHON) tests/interop/peers.py' '$(PYTHON) tests/interop/nodes.py' \
               '$(PYTHON) tests/interop/tool_peers.py' '$(PYTHON) tests/interop/packs.py' \
               '$(PYTHON) tests/interop/archives.py' '$(PYTHON) tests/interop/archive_peers.py' \
               '$(PYTHON) tests/interop/http.py' '$(PYTHON) tests/interop/kill.py' '$(PYTHON) tests/interop/parallel.py' \
               $(if $(MPI),,'!writing with MPI: no mpicc or mpirun: make deps')
NEED_SANITIZE = $(call needs,asan-gcc,asan-gcc) $(call needs,asan-clang,asan-clang)
NEED_TSAN = $(if $(call have,tsan),$(THREADED:%=$(BUILD)/tsan/%))
NEED_INTEROP = $(TOOL) $(addprefix $(BUILD)/examples/,pack pack_threads threads) $(if $(MPI),$(BUILD)/examples/mpi) \
               $(if $(call have,tsan),$(BUILD)/tsan/threads) \
               $(addprefix $(BUILD)/interop/,driver nodes_driver pack_driver archive_driver) \
               $(if $(call have,asan-gcc),$(addprefix $(BUILD)/asan-gcc/,shardio driver pack_driver archive_driver)) \
               $(if $(HTTP),$(BUILD)/examples/mirror $(BUILD)/interop/http_driver $(if $(call have,asan-gcc),$(BUILD)/asan-gcc/http_driver))

export BUILD VENV CC GCC CLANG CXX CLANGXX M32 MINGW MPIRUN CI

test: $(call programs,c) $(NEED_SANITIZE) $(NEED_FUZZ) $(NEED_TSAN) $(call needs,cxx,cxx) $(NEED_INTEROP) ## C tests, plain, sanitized and as C++11; compile checks; interoperability
	$(run) $(PART_C) $(PART_GCC) $(PART_CLANG) $(PART_FUZZ) $(PART_TSAN) $(PART_CXX) $(PART_COMPILE) $(PART_INTEROP)

test-valgrind: export TEST_VALGRIND := 1
test-valgrind: $(call programs,c) ## the C tests under valgrind
	@$(PYTHON) tests/run --tmp $(BUILD)/tmp --wrap '$(VALGRIND)' \
	 $(call part,valgrind,c,valgrind,not installed: make deps)

test-c: $(call programs,c) ## of `make test`: the C tests
	$(run) $(PART_C)

test-sanitize: $(NEED_SANITIZE) ## of `make test`: the C tests under address and undefined-behaviour sanitizers
	$(run) $(PART_GCC) $(PART_CLANG)

test-fuzz: $(NEED_FUZZ) ## of `make test`: the fuzz targets on what they found once, on their seeds, and on damaged ones
	$(run) $(PART_FUZZ)

test-tsan: $(NEED_TSAN) ## of `make test`: the C tests with threads under the thread sanitizer
	$(run) $(PART_TSAN)

test-cxx: $(call needs,cxx,cxx) ## of `make test`: the C tests compiled as C++11
	$(run) $(PART_CXX)

test-compile: ## of `make test`: the header under many compilers and options, without a warning
	$(run) $(PART_COMPILE)

interop: $(NEED_INTEROP) ## of `make test`: arrays to and from zarr-python, tensorstore and zarrs; golden files
	$(run) $(PART_INTEROP)

# ---- fuzzing: docs/fuzzing.md ----------------------------------------------------------------------------------

# The first seconds of a longer run are those of a short one: the seed is the same.
SECONDS ?= 60
SEED    ?= 1
fuzzers  = $(if $(call have,libfuzzer),$(patsubst %,$(BUILD)/$(1)/%,$(if $(ONLY),fuzz_$(ONLY),$(FUZZERS))))
run_fuzz = @$(PYTHON) tests/fuzz/run.py --build $(BUILD)/$@ --seconds $(SECONDS) --seed $(SEED) $^
fuzz: $(call fuzzers,fuzz) ## hostile input and sequences of calls, each target for SECONDS=60; ONLY=zip: one
	$(run_fuzz)

fuzz-fast: $(call fuzzers,fuzz-fast) ## the same without sanitizers: what only the targets' own checks find, five times as soon
	$(run_fuzz)

fuzz-long: ## fuzz for an hour each
	@$(MAKE) --no-print-directory fuzz SECONDS=3600

# ---- loss of power ----------------------------------------------------------------------------------------------
# The same programs as in `make test`, for longer. Their tables go into docs/power.md.

POWER := $(patsubst %,$(BUILD)/c/%,$(filter test_power%,$(TESTS)))
.PHONY: test-power
test-power: STATES ?= 1000000
test-power: export STATES := $(STATES)
test-power: $(POWER) ## more states of the disk after a loss of power (STATES=1000000), as a table
	@mkdir -p $(BUILD)/tmp
	@for p in $(POWER); do TEST_TMP=$(BUILD)/tmp $(RUN) $$p || exit 1; done

# ---- coverage: docs/coverage.md ---------------------------------------------------------------------------------
# The C tests once more, without optimization, counting. At a fifth of the effort they reach the same lines.

coverage = $(GCC) -std=c99 $(TESTING) -O0 --coverage -fprofile-update=atomic
$(BUILD)/coverage/%: with := $(ADAPTERS)
$(foreach m,compile share,$(eval $(call $(m),$(BUILD)/coverage,coverage)))$(eval $(call from,$(BUILD)/coverage,tests,coverage))

.PHONY: coverage
coverage: $(call programs,coverage) ## which lines and branches of shardio.h the C tests reach
	@rm -f $(BUILD)/coverage/*.gcda
	$(run) '=coverage' --effort 20 $(call programs,coverage)
	@$(PYTHON) tests/coverage.py $(BUILD)/coverage

# ---- analysis -------------------------------------------------------------------------------------------------

PART_ANALYSIS = '=analysis' '$(PYTHON) tests/analysis/check.py $(filter -D%,$(ADAPTERS))'
.PHONY: analyze
analyze: ## gcc -fanalyzer, clang --analyze, cppcheck and clang-tidy have nothing to say
	$(run) $(PART_ANALYSIS)

# ---- file systems ---------------------------------------------------------------------------------------------

# As root, on loop devices. With EVERY=1 they are full at every block (minutes); TABLE=1 prints the table of
# docs/filesystems.md.
FILESYSTEMS := $(TOOL) $(addprefix $(BUILD)/c/,filesystems_direct filesystems_full) \
               $(addprefix $(BUILD)/c/test_,platform slot shard recover store store_links archive archive_unbuffered mirror)
$(BUILD)/c/filesystems_%: how = -DSHARDIO_STATIC
FILESYSTEMS_COMMAND = $(PYTHON) tests/filesystems $(if $(EVERY),--every) $(if $(TABLE),--table)
PART_FILESYSTEMS = '=file systems' --effort 20 '$(FILESYSTEMS_COMMAND) --part 1/2' '$(FILESYSTEMS_COMMAND) --part 2/2'
$(BUILD)/filesystems_fuse: tests/filesystems_fuse.c
	$(if $(Q),@echo "  build $@")
	$(Q)$(c) -D_FILE_OFFSET_BITS=64 -I/usr/include/fuse3 $(CPPFLAGS) $(LDFLAGS) -o $@ $< -lfuse3 $(LDLIBS)

test-filesystems: $(FILESYSTEMS) $(if $(call have,fuse3),$(BUILD)/filesystems_fuse) ## ext4, xfs, btrfs, tmpfs, overlayfs, FUSE and others: unbuffered I/O, equal bytes, full disks (root)
	$(run) $(PART_FILESYSTEMS)

# ---- soak: docs/soak.md -----------------------------------------------------------------------------------------

.PHONY: soak
MINUTES ?= 20
$(eval $(call compile,$(BUILD)/soak,c))$(eval $(call from,$(BUILD)/soak,tests/soak,c))
soak: $(BUILD)/soak/soak ## everything at random in several programs, killed at times, on a disk that is nearly full (root); MINUTES=20 SEED=1
	@nice -n 5 $(PYTHON) tests/soak/run.py --program $< --directory $(BUILD)/soak/run --minutes $(MINUTES) --seed $(SEED)

# ---- other machines -------------------------------------------------------------------------------------------
# Of each port: the C tests but those in LEAVE_port, and WHY they are left out; what goes before a program in WRAP_port;
# CHECK_port, a command beside them. For macOS it is all, since nothing there can be run; docs/ports.md has more.

WRAP_m32     := $(RUN)
WRAP_musl    := $(RUN)
WRAP_tcc     := $(RUN)
WRAP_cxx20   := $(RUN)
WRAP_s390x   := $(QEMU_S390X)
WRAP_aarch64 := $(QEMU_AARCH64)
WRAP_riscv64 := $(QEMU_RISCV64)
WRAP_windows := env LC_ALL=C.UTF-8 WINEPREFIX=$(abspath $(BUILD))/windows/prefix WINEDEBUG=-all \
                WINEDLLOVERRIDES=mscoree,mshtml,winemenubuilder.exe,winedbg.exe= sh tests/windows/run $(WINE)
# node 20 breaks its own heap when it calls WASI the fast way
WRAP_wasm    := $(NODE) --no-warnings --no-turbo-fast-api-calls tests/wasi/run.mjs
CHECK_aarch64 := $(PYTHON) tests/ports/crc_aarch64.py $(BUILD)/aarch64/test_index $(QEMU_AARCH64)
CHECK_windows = $(PYTHON) tests/windows/tool.py $(BUILD)/windows/shardio.exe $(WRAP_windows)
CHECK_macos-x86 = $(PYTHON) tests/ports/macho.py x86_64 $(MACOS:%=$(BUILD)/macos-x86/%)
CHECK_macos-arm  = $(PYTHON) tests/ports/macho.py arm64 $(MACOS:%=$(BUILD)/macos-arm/%)
# these put functions of their own in the place of Linux's calls
CALLS_OF_LINUX := test_platform test_scale test_store_links test_slot test_changing test_mirror_crash $(filter test_faults% test_power%,$(TESTS))
LEAVE_wasm := $(CALLS_OF_LINUX) $(THREADED)
WHY_wasm   := needs calls of Linux, processes or threads
LEAVE_windows := $(filter-out test_slot,$(CALLS_OF_LINUX))
WHY_windows   := puts functions of its own in the place of calls of Linux
# of the emulated machines one does what shows nothing of a machine; ONCE= runs it on the others as well
ONCE       := test_changing test_mirror_crash $(filter test_faults% test_power%,$(TESTS))
$(foreach p,s390x riscv64,$(eval LEAVE_$(p) := $$(ONCE))$(eval WHY_$(p) := calls that fail and power that goes are the same everywhere: on aarch64))
LEAVE_tcc  := test_slot test_shard
WHY_tcc    := tcc does not align static memory as it is told
# of tests/windows; what wine takes for a disk with Windows
OWN_windows  := test_windows
WINE_DISK    := $(BUILD)/windows/prefix/made
NEED_windows := $(BUILD)/windows/shardio.exe $(WINE_DISK)
MACOS      := shardio $(filter-out $(CALLS_OF_LINUX) test_pack test_mirror% test_zarr_read,$(TESTS))
MACS       := macos-x86 macos-arm
TEST_PORTS := $(PORTS:%=test-%)

# the codecs' libraries are those of this machine
port_tests = $(if $(filter $(MACS),$(1)),,$(patsubst %,$(BUILD)/$(1)/%$(ENDING_$(1)),$(filter-out test_codec_adapters $(LEAVE_$(1)),$(TESTS)) $(OWN_$(1))))
port_needs = $(if $(call have,$(1)),$(port_tests) $(if $(filter $(MACS),$(1)),$(MACOS:%=$(BUILD)/$(1)/%)) $(NEED_$(1)))
port_part  = $(if $(call have,$(1)),--wrap '$(WRAP_$(1))' '=$(1)' $(if $(EFFORT_$(1)),--effort $(EFFORT_$(1))) $(port_tests) $(if $(CHECK_$(1)),'$(CHECK_$(1))') \
             '~$(1): test_codec_adapters: the libraries are those of this machine' \
             $(foreach t,$(LEAVE_$(1)),'~$(1): $(t): $(WHY_$(1))'),'!$(1): no compiler or nothing that runs it: make deps')

test-ports: $(foreach p,$(PORTS),$(call port_needs,$(p))) $(TOOL) ## the C tests on all other machines, libraries and compilers
	@$(PYTHON) tests/run --tmp $(BUILD)/tmp $(foreach p,$(PORTS),$(call port_part,$(p))) $(PART_CORTEX_M4)

test-m32:          ## of these: as a 32-bit program
test-s390x:        ## of these: on a big-endian machine (s390x, emulated)
test-aarch64:      ## of these: on 64-bit ARM (emulated), with its CRC32C instructions
test-riscv64:      ## of these: on 64-bit RISC-V (emulated)
test-musl:         ## of these: with musl in place of glibc, static
test-tcc:          ## of these: compiled with tcc
test-wasm:         ## of these: as WebAssembly (WASI), under node
test-windows:      ## of these: as Windows programs (mingw-w64), under wine
test-macos-x86:    ## of these: compiled and linked for macOS on Intel
test-macos-arm:    ## of these: compiled and linked for macOS on ARM
test-cxx20:        ## of these: compiled as C++20
$(WINE_DISK):   # made once, before programs start side by side
	@mkdir -p $(@D) && TEST_TMP=$(@D) $(WRAP_windows) wineboot -i >/dev/null 2>&1 && touch $@
.PHONY: $(TEST_PORTS)
.SECONDEXPANSION:
$(TEST_PORTS): test-%: $$(call port_needs,$$*)
	@$(PYTHON) tests/run --tmp $(BUILD)/tmp $(call port_part,$*)

# ---- firmware -------------------------------------------------------------------------------------------------

PART_CORTEX_M4 = '=Cortex-M4' '$(PYTHON) tests/firmware/check.py'

.PHONY: test-cortex-m4 size
test-cortex-m4: $(TOOL) ## of `make test-ports`: firmware on an emulated Cortex-M4 writes to a flash; the limits of its size
	$(run) $(PART_CORTEX_M4)

size: ## code, constants, stack and handles of what firmware takes, for each machine; seconds to compile
	@$(PYTHON) tests/firmware/size.py

# ---- the rest -------------------------------------------------------------------------------------------------

bench: $(BENCHES) $(TOOL) ## measure, as a Markdown table; QUICK=1: small sizes, to see that it runs
	@$(PYTHON) bench/run.py --build $(BUILD) $(if $(QUICK),--quick,--output $(OUTPUT))

# matplotlib draws
DRAWING = $(if $(wildcard $(VENV)/bin/python),$(VENV)/bin/python,$(PYTHON))
.PHONY: bench-scale bench-overlap
bench-scale: $(BUILD)/bench_scale ## what one item costs where there are many, as tables and $(BUILD)/scale.svg; QUICK=1: small sizes
	@$(DRAWING) bench/scale.py --program $< --directory $(BUILD)/tmp/scale --plot $(BUILD)/scale.svg $(if $(QUICK),--quick)

bench-overlap: $(addprefix $(BUILD)/bench_,overlap write pack store read) ## what it brings that writes are under way meanwhile, as $(BUILD)/overlap.md and .svg; QUICK=1: small sizes
	@$(DRAWING) bench/overlap.py --build $(BUILD) --plot $(BUILD)/overlap.svg $(if $(QUICK),--quick,--output $(BUILD)/overlap.md)

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
