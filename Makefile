# meshlib: one Makefile for the library, the programs, the tests.  GNU make.
# `make help` lists the targets.  `./setup` installs what they need.

VERSION  := 0.1.0
SONAME   := libmeshlib.so.0
PREFIX   ?= /usr/local

# SAN=address,undefined or SAN=thread builds everything with those sanitizers,
# in a directory of its own.
SAN      ?=
ifeq ($(SAN),)
BUILD    ?= build
else ifneq ($(findstring thread,$(SAN)),)
BUILD    ?= build/tsan
else
BUILD    ?= build/asan
endif

# [a-z] in the symbol patterns must mean the same on every machine.
export LC_ALL := C.UTF-8
ifeq ($(origin CC),default)
CC       := gcc
endif
AR       ?= ar
OBJCOPY  ?= objcopy
PYTHON   ?= $(firstword $(wildcard /usr/bin/python3) python3)
PKG_CONFIG ?= pkg-config

.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

# --- flags ------------------------------------------------------------------

cc-option = $(shell $(CC) -Werror $(1) -c -x c /dev/null -o /dev/null 2>/dev/null && echo '$(1)')

STD      := -std=c11 -D_GNU_SOURCE
WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Werror
# Silent truncation is how a length check goes wrong; sign changes alone are noise.
WARN_OWN := -Wconversion -Wno-sign-conversion
ifneq ($(COVERAGE),)
SAFE     :=
OPT      := -O0 -g --coverage
else ifeq ($(SAN),)
SAFE     := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
OPT      := -O2 -g
else
SAFE     :=
OPT      := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
SAFE     += -fstack-protector-strong \
            $(call cc-option,-fstack-clash-protection) $(call cc-option,-fcf-protection)
CODE     := -fPIC -fvisibility=hidden -pthread $(SAFE) $(OPT)
LINK     := -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(if $(COVERAGE),--coverage)
# Never unloaded: its threads, and what it has the process's exit do, outlive a
# dlclose().  A shared library may leave the sanitizer's symbols to the program.
LINK_SO  := $(LINK) -shared -Wl,-z,nodelete $(if $(SAN),,-Wl,-z,defs)
LINK_EXE := $(LINK) -pie

# --- third parties ----------------------------------------------------------

PKGS        := libcurl libssl libcrypto libuv libnghttp2 yaml-0.1 libcjson libpcre2-8
# xxhash is compiled in from its header.
PKGS_OTHER  := sqlite3 libxxhash
pkg-cflags   = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(1) 2>/dev/null))
pkg-libs     = $(shell $(PKG_CONFIG) --libs $(1) 2>/dev/null)

# mbedTLS 2.28 (Debian 12) has no .pc file.
MBED_LIBS   := $(or $(call pkg-libs,mbedtls mbedx509 mbedcrypto),-lmbedtls -lmbedx509 -lmbedcrypto)

# llhttp: a system library (Debian 13), else the C sources that node-llhttp
# installs (Debian 12), which become part of room http.
LLHTTP_DIR  := /usr/share/llhttp
ifeq ($(shell $(PKG_CONFIG) --exists libllhttp 2>/dev/null && echo yes),yes)
LLHTTP_CFLAGS := $(call pkg-cflags,libllhttp)
LLHTTP_LIBS   := $(call pkg-libs,libllhttp)
else ifneq ($(wildcard /usr/include/llhttp.h),)
LLHTTP_LIBS   := -lllhttp
else
LLHTTP_SRC    := $(wildcard $(LLHTTP_DIR)/*.c)
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp
endif

THIRD_CFLAGS := $(call pkg-cflags,$(PKGS) $(PKGS_OTHER)) $(LLHTTP_CFLAGS)
THIRD_LIBS   := $(call pkg-libs,$(PKGS)) $(MBED_LIBS) $(LLHTTP_LIBS) -lm
SQLITE_LIBS  := $(call pkg-libs,sqlite3)
CMOCKA_LIBS   = $(call pkg-libs,cmocka)

NO_BUILD_GOALS := help clean lint uninstall test-debian12 test-debian13
ifneq ($(filter-out $(NO_BUILD_GOALS),$(or $(MAKECMDGOALS),all)),)
MISSING := $(strip $(foreach p,$(PKGS) $(PKGS_OTHER),$(if $(shell $(PKG_CONFIG) --exists $p 2>/dev/null && echo yes),,$p)))
ifneq ($(MISSING),)
$(error pkg-config does not find: $(MISSING); run ./setup to install what the build needs)
endif
endif

# --- the rooms, and which of them a room may use ------------------------------
# In link order: users before the used.  tests/lint checks the includes.

ROOMS := $(foreach r,api inbound outbound export control identity http io telemetry policy wire base,\
           $(if $(wildcard lib/$r/*.c),$r))

uses-base      := base
uses-wire      := wire base
uses-policy    := policy wire base
uses-telemetry := telemetry wire base
uses-io        := io wire base
uses-http      := http io telemetry wire base
uses-identity  := identity http io telemetry wire base
uses-control   := control identity http io telemetry policy wire base
uses-export    := export http io telemetry wire base
uses-outbound  := outbound export control identity http io telemetry policy wire base
uses-inbound   := inbound export control identity http io telemetry policy wire base
uses-api       := $(ROOMS)
uses-meshca    := meshca io wire base
uses-meshd     := meshd export http io telemetry policy wire base
uses-meshctl   := meshctl $(ROOMS)

PROGRAMS := $(foreach p,meshca meshd meshctl,$(if $(wildcard ctrl/$p/*.c),$p))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
# Archives of everything that $(1), a room or a program, may use and that exists.
archives = $(patsubst %,$(BUILD)/room/%.a,$(foreach r,$(uses-$(1)),$(filter $r,$(ROOMS) $(PROGRAMS))))

LIB_SRC  := $(foreach r,$(ROOMS),$(wildcard lib/$r/*.c))
LIB_OBJ  := $(call obj,$(LIB_SRC)) $(patsubst $(LLHTTP_DIR)/%.c,$(BUILD)/obj/llhttp/%.o,$(LLHTTP_SRC))
CTRL_SRC := $(foreach p,$(PROGRAMS),$(wildcard ctrl/$p/*.c))

# --- what is built ------------------------------------------------------------

SHARED   := $(BUILD)/lib/libmeshlib.so.$(VERSION)
STATIC   := $(BUILD)/lib/libmeshlib.a
LIBS     := $(if $(LIB_SRC),$(SHARED) $(STATIC))
BINS     := $(PROGRAMS:%=$(BUILD)/bin/%)

EXAMPLE_SRC := $(wildcard examples/*.c)
EXAMPLES    := $(if $(filter api,$(ROOMS)),$(EXAMPLE_SRC:examples/%.c=$(BUILD)/bin/example-%))

SUPPORT_SRC := $(wildcard tests/support/*.c)
UNIT_SRC    := $(wildcard tests/unit/*/test_*.c)
FUZZ_SRC    := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_TARGETS := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=%)
PRELOAD_SRC := $(wildcard tests/integration/preload_*.c)
HELPER_SRC  := $(filter-out $(PRELOAD_SRC),$(wildcard tests/integration/*.c))
BENCH_SRC   := $(wildcard tests/bench/*.c)
SUPPORT     := $(if $(SUPPORT_SRC),$(BUILD)/tests/support.a)
UNITS       := $(UNIT_SRC:%.c=$(BUILD)/%)
REPLAYERS   := $(FUZZ_SRC:%.c=$(BUILD)/%)
HELPERS     := $(HELPER_SRC:%.c=$(BUILD)/%)
PRELOADS    := $(PRELOAD_SRC:%.c=$(BUILD)/%.so)
BENCHES     := $(if $(BENCH_SRC),$(patsubst %,$(BUILD)/tests/bench/%,client server arithmetic decide))

.PHONY: all lib programs examples tests unit-tests replayers
all: lib programs examples           ## the library, the programs, the examples
lib: $(LIBS)                         ## libmeshlib.so and libmeshlib.a
programs: $(BINS)                    ## meshca, meshd, meshctl
examples: $(EXAMPLES)                ## the programs in examples/
unit-tests: $(UNITS)                 ## only the unit tests' programs
replayers: $(REPLAYERS)              ## only the programs that replay the corpora
tests: $(UNITS) $(REPLAYERS) $(HELPERS) $(PRELOADS) $(BENCHES)   ## everything that the tests run

.PHONY: $(ROOMS:%=room-%) $(ROOMS:%=unit-%) $(PROGRAMS:%=unit-%)
$(ROOMS:%=room-%): room-%: $(BUILD)/room/%.a
$(foreach r,$(ROOMS) $(PROGRAMS),$(eval unit-$r: $(filter $(BUILD)/tests/unit/$r/%,$(UNITS))))

# --- compiling ----------------------------------------------------------------

# Rewritten only when the command changes, so that new flags rebuild.
STAMP := $(BUILD)/flags
.PHONY: FORCE
FORCE:
$(STAMP): FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(STD) $(WARN) $(WARN_OWN) $(CODE) $(CFLAGS) $(THIRD_CFLAGS) $(CPPFLAGS)' | cmp -s - $@ || \
	 printf '%s\n' '$(CC) $(STD) $(WARN) $(WARN_OWN) $(CODE) $(CFLAGS) $(THIRD_CFLAGS) $(CPPFLAGS)' > $@

# $(call compile,extra flags)
define compile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(WARN) $(CODE) -MMD -MP $(1) $(CPPFLAGS) $(CFLAGS) -c $< -o $@
endef

$(BUILD)/obj/lib/%.o: lib/%.c $(STAMP)
	$(call compile,$(WARN_OWN) -Iinclude -Ilib $(THIRD_CFLAGS))
$(BUILD)/obj/ctrl/%.o: ctrl/%.c $(STAMP)
	$(call compile,$(WARN_OWN) -Iinclude -Ilib -Ictrl $(THIRD_CFLAGS))
$(BUILD)/obj/tests/%.o: tests/%.c $(STAMP)
	$(call compile,-Iinclude -Ilib -Ictrl -Itests -Itests/support $(THIRD_CFLAGS))
# An application has the public header and nothing else.
$(BUILD)/obj/examples/%.o: examples/%.c $(STAMP)
	$(call compile,-Iinclude)
# Not our code, not our warnings.
$(BUILD)/obj/llhttp/%.o: $(LLHTTP_DIR)/%.c $(STAMP)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -w $(CODE) $(LLHTTP_CFLAGS) -c $< -o $@

# --- archives, one a room -----------------------------------------------------
# A folder is a prerequisite too: a file that was renamed or taken away must not
# live on in an archive.

define archive
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcsD $@ $(filter %.o,$^)
endef

define room-rule
$(BUILD)/room/$(1).a: lib/$(1) $(call obj,$(wildcard lib/$(1)/*.c)) \
    $(if $(filter http,$(1)),$(LLHTTP_SRC:$(LLHTTP_DIR)/%.c=$(BUILD)/obj/llhttp/%.o))
	$$(archive)
endef
$(foreach r,$(ROOMS),$(eval $(call room-rule,$r)))

# A program is main.o and an archive of the rest, which its unit tests link too.
define program-rule
$(BUILD)/room/$(1).a: ctrl/$(1) $(filter-out %/main.o,$(call obj,$(wildcard ctrl/$(1)/*.c)))
	$$(archive)
$(BUILD)/bin/$(1): $(BUILD)/obj/ctrl/$(1)/main.o $(call archives,$(1))
	$$(link)
endef

# $(call link,extra libraries)
define link
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK_EXE) $(LDFLAGS) $(filter %.o %.a,$^) $(1) $(THIRD_LIBS) $(LIBS_EXTRA) -o $@
endef
$(foreach p,$(PROGRAMS),$(eval $(call program-rule,$p)))
$(BUILD)/bin/meshd: LIBS_EXTRA := $(SQLITE_LIBS)

# --- the library --------------------------------------------------------------

$(SHARED): $(ROOMS:%=lib/%) $(LIB_OBJ) lib/meshlib.map
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK_SO) -Wl,-soname,$(SONAME) -Wl,--version-script,lib/meshlib.map \
	    $(LDFLAGS) $(LIB_OBJ) $(THIRD_LIBS) -o $@
	$(Q)ln -sf $(@F) $(@D)/$(SONAME) && ln -sf $(SONAME) $(@D)/libmeshlib.so

# One relocatable object: what is hidden in the .so is local here, so neither
# our private names nor llhttp's can collide with the application's.
$(STATIC): $(ROOMS:%=lib/%) $(LIB_OBJ)
	$(call say,LD-R,$@)
	$(Q)mkdir -p $(@D) && rm -f $@
	$(Q)$(CC) -nostdlib -r -o $(@D)/meshlib.o $(LIB_OBJ)
	$(Q)$(OBJCOPY) --wildcard --keep-global-symbol='mesh_[a-z]*' $(@D)/meshlib.o
	$(Q)$(AR) rcsD $@ $(@D)/meshlib.o && rm -f $(@D)/meshlib.o

$(BUILD)/bin/example-%: $(BUILD)/obj/examples/%.o $(SHARED)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK_EXE) $(LDFLAGS) $< -L$(BUILD)/lib -lmeshlib \
	    -Wl,-rpath,'$$ORIGIN/../lib' -o $@

# --- the tests' programs ------------------------------------------------------

$(BUILD)/tests/support.a: tests/support $(call obj,$(SUPPORT_SRC))
	$(archive)

# A unit test links its room and what that room may use, nothing else: a file
# broken in another room breaks no other test.
# What for, it says itself.
patient-api := $(BUILD)/obj/tests/support/patient_mesh.o
define unit-rule
$(BUILD)/tests/unit/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(patient-$(1)) $(SUPPORT) $(call archives,$(1))
	$$(call link,$$(CMOCKA_LIBS))
endef
$(foreach r,$(ROOMS) $(PROGRAMS),$(eval $(call unit-rule,$r)))
$(BUILD)/tests/unit/meshd/%: LIBS_EXTRA := $(SQLITE_LIBS)
$(BUILD)/tests/unit/api/%: LIBS_EXTRA := -Wl,--wrap=mesh__service_policy_default,--wrap=mesh__http_limits_default
$(BUILD)/tests/unit/api/test_streamed_freed: LIBS_EXTRA += -Wl,--wrap=mesh__streamed_concluded,--wrap=mesh__streamed_give_back

ALL_ROOMS := $(ROOMS:%=$(BUILD)/room/%.a)
$(BUILD)/tests/integration/%.so: tests/integration/%.c $(STAMP)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(WARN) -O2 -g -fPIC -shared $< -ldl -pthread -o $@
$(BUILD)/tests/integration/%: $(BUILD)/obj/tests/integration/%.o $(SUPPORT) $(ALL_ROOMS)
	$(link)
$(BUILD)/tests/integration/clients: LIBS_EXTRA := -Wl,--wrap=mesh__link_new,--wrap=mesh__transfer_start,--wrap=mesh__share_new
# The benchmarks measure what an application gets: the public header, the shared library.
$(BUILD)/obj/tests/bench/%.o: tests/bench/%.c $(STAMP)
	$(call compile,-Iinclude $(call pkg-cflags,libcurl mbedcrypto))
define link-bench
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LINK_EXE) $(LDFLAGS) $(filter %.o,$^) -L$(BUILD)/lib -lmeshlib $(call pkg-libs,libcurl) \
	    -Wl,-rpath,'$$ORIGIN/../../lib' -o $@
endef
$(BUILD)/tests/bench/client: $(patsubst %,$(BUILD)/obj/tests/bench/%.o,client way latency parts) $(SHARED)
	$(link-bench)
$(BUILD)/tests/bench/server: $(BUILD)/obj/tests/bench/server.o $(SHARED)
	$(link-bench)
$(BUILD)/tests/bench/arithmetic: $(BUILD)/obj/tests/bench/arithmetic.o
	$(link)
# All but this one, whose subject no application sees by itself.
$(BUILD)/obj/tests/bench/decide.o: tests/bench/decide.c $(STAMP)
	$(call compile,-Iinclude -Ilib -Itests -Itests/support $(THIRD_CFLAGS))
$(BUILD)/tests/bench/decide: $(BUILD)/obj/tests/bench/decide.o $(SUPPORT) $(call archives,outbound)
	$(call link,$(CMOCKA_LIBS))

# A fuzz target is fuzz_NAME.c, what stands in NAME_*.c, and what else in this folder it includes; it links the rooms whose headers it includes, and what they use.
fuzz-shared = $(wildcard $(shell sed -n 's|^\#include "\([a-z0-9_]*\)\.h"|tests/fuzz/\1.c|p' tests/fuzz/fuzz_$(1).c))
fuzz-objs  = $(call obj,$(sort tests/fuzz/fuzz_$(1).c $(wildcard tests/fuzz/$(1)_*.c) $(call fuzz-shared,$(1))))
fuzz-rooms = $(sort $(shell sed -n 's|^\#include "\([a-z]*\)/.*|\1|p' $(1)))
fuzz-uses  = $(foreach r,meshd meshca meshctl $(ROOMS),$(filter $r,$(foreach f,$(call fuzz-rooms,$(1)),$(uses-$f))))
define replay-rule
$(BUILD)/tests/fuzz/fuzz_$(1): $(call fuzz-objs,$(1)) $(BUILD)/obj/tests/fuzz/replay.o $(SUPPORT) \
    $(patsubst %,$(BUILD)/room/%.a,$(call fuzz-uses,tests/fuzz/fuzz_$(1).c))
	$$(link)
$(BUILD)/tests/fuzz/fuzz_$(1): LIBS_EXTRA := $(SQLITE_LIBS)
endef
$(foreach f,$(FUZZ_TARGETS),$(eval $(call replay-rule,$f)))

# --- running the tests --------------------------------------------------------

RUN := $(PYTHON) tests/run --build $(BUILD) $(if $(SAN),--san $(SAN)) $(if $(ONLY),--only '$(ONLY)') \
       $(if $(TALLY),--tally $(TALLY)) $(RUNFLAGS)

.PHONY: test test-all tsan valgrind coverage lint demo demo-stay bench fuzz test-debian12 test-debian13
test: all tests                      ## build and run every test (ONLY=pattern picks some)
	CC='$(CC)' $(RUN)

test-all:                            ## test, the same under ASan+UBSan and under TSan, the unit tests under valgrind, lint, clang
	@mkdir -p $(BUILD) && rm -f $(BUILD)/tally
	+$(MAKE) BUILD=$(BUILD) SAN= TALLY=$(BUILD)/tally test
	+$(MAKE) BUILD=$(BUILD)/asan SAN=address,undefined TALLY=$(BUILD)/tally test
	+$(MAKE) BUILD=$(BUILD) TALLY=$(BUILD)/tally tsan
	+$(MAKE) BUILD=$(BUILD) SAN= TALLY=$(BUILD)/tally valgrind
	+$(MAKE) BUILD=$(BUILD) SAN= lint
	+$(MAKE) BUILD=$(BUILD)/clang SAN= CC=clang lib programs
	@echo "test-all: plain, ASan+UBSan, TSan, valgrind, lint and the clang build, together:"
	@awk '{p += $$1; f += $$2; s += $$3} END {printf "%d passed, %d failed%s\n", p, f, s ? ", " s " skipped" : ""}' $(BUILD)/tally

tsan:                                ## test, under ThreadSanitizer
	+$(MAKE) BUILD=$(BUILD)/tsan SAN=thread test

valgrind: $(UNITS)                   ## the unit tests under valgrind
	$(RUN) --valgrind

# The counts are of the tests that run in one process; WHOLE=1 adds those of real ones, at a multiple of the time.
coverage:                            ## lines that the unit tests and the corpora run; WHOLE=1: that all tests run
	@mkdir -p $(BUILD)/coverage && find $(BUILD)/coverage -name '*.gcda' -delete
	+$(MAKE) BUILD=$(BUILD)/coverage COVERAGE=1 SAN= $(if $(WHOLE),all tests,unit-tests replayers)
	$(foreach o,$(if $(WHOLE),'*',unit/ fuzz/),$(PYTHON) tests/run --build $(BUILD)/coverage --only $o &&) true
	$(PYTHON) tests/coverage --build $(BUILD)/coverage

lint:                                ## the house rules (tests/lint)
	$(PYTHON) tests/lint/lint.py --build $(BUILD)

demo: all                            ## the story, in under a minute (DEMOFLAGS=--http2: over HTTP/2)
	MESH_BUILD=$(abspath $(BUILD)) examples/demo.sh $(DEMOFLAGS)
demo-stay: all                       ## the same, left running
	MESH_BUILD=$(abspath $(BUILD)) examples/demo.sh --stay

bench: all $(BENCHES)                ## measurements beside raw libcurl, sidecars and nginx (QUICK=1 DOCS=1)
	MESH_BUILD=$(abspath $(BUILD)) $(PYTHON) tests/bench/bench.py $(if $(QUICK),--quick) $(if $(DOCS),--docs) $(BENCHFLAGS)

# Real fuzzing: clang, libFuzzer, a build of the rooms of its own.
TIME   ?= 60
TARGET ?=
FUZZ_PICKED := $(or $(TARGET),$(FUZZ_TARGETS))
fuzz-make = +$(MAKE) BUILD=$(BUILD)/fuzz CC=clang SAN=address,undefined CFLAGS=-fsanitize=fuzzer-no-link
fuzz:                                ## fuzz every target, or TARGET=url, for TIME=60 seconds each
	$(fuzz-make) fuzz-run
fuzz-merge:                          ## what make fuzz has learnt goes into tests/fuzz/corpus
	$(fuzz-make) FUZZFLAGS=--merge fuzz-run
.PHONY: fuzz-run fuzz-merge
define fuzz-rule
$(BUILD)/bin/fuzz_$(1): $(call fuzz-objs,$(1)) $(SUPPORT) \
    $(patsubst %,$(BUILD)/room/%.a,$(call fuzz-uses,tests/fuzz/fuzz_$(1).c))
	$$(call link,-fsanitize=fuzzer)
$(BUILD)/bin/fuzz_$(1): LIBS_EXTRA := $(SQLITE_LIBS)
endef
$(foreach f,$(FUZZ_TARGETS),$(eval $(call fuzz-rule,$f)))
fuzz-run: $(FUZZ_PICKED:%=$(BUILD)/bin/fuzz_%)
	$(PYTHON) tests/fuzz/run --build $(BUILD) --time $(TIME) $(FUZZFLAGS) $(FUZZ_PICKED)

test-debian12:                       ## ./setup demo and ./setup test in a clean Debian 12
	tests/debian/run bookworm $(abspath $(BUILD))/debian
test-debian13:                       ## the same in a clean Debian 13
	tests/debian/run trixie $(abspath $(BUILD))/debian

# --- installing ---------------------------------------------------------------

BINDIR     := $(DESTDIR)$(PREFIX)/bin
LIBDIR     := $(DESTDIR)$(PREFIX)/lib
INCLUDEDIR := $(DESTDIR)$(PREFIX)/include/meshlib
MANDIR     := $(DESTDIR)$(PREFIX)/share/man
MAN        := $(wildcard docs/man/*.1 docs/man/*.3 docs/man/*.8)

.PHONY: install uninstall clean help
install: lib programs                ## DESTDIR= and PREFIX=/usr/local
	install -d $(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR)
	$(if $(BINS),install -m 755 $(BINS) $(BINDIR))
	install -m 755 $(SHARED) $(LIBDIR)
	ln -sf $(notdir $(SHARED)) $(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(LIBDIR)/libmeshlib.so
	install -m 644 $(STATIC) $(LIBDIR)
	install -m 644 include/meshlib/mesh.h $(INCLUDEDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@LIBS_PRIVATE@|$(THIRD_LIBS) -pthread|' \
	    pkgconfig/meshlib.pc.in > $(LIBDIR)/pkgconfig/meshlib.pc
	$(foreach m,$(MAN),install -D -m 644 $m $(MANDIR)/man$(subst .,,$(suffix $m))/$(notdir $m) && ) true

uninstall:                           ## takes away what install put there
	rm -f $(addprefix $(BINDIR)/,meshca meshd meshctl)
	rm -f $(LIBDIR)/$(notdir $(SHARED)) $(LIBDIR)/$(SONAME) $(LIBDIR)/libmeshlib.so $(LIBDIR)/libmeshlib.a
	rm -f $(LIBDIR)/pkgconfig/meshlib.pc $(INCLUDEDIR)/mesh.h
	-rmdir $(INCLUDEDIR) 2>/dev/null
	rm -f $(foreach m,$(MAN),$(MANDIR)/man$(subst .,,$(suffix $m))/$(notdir $m))

clean:                               ## removes the build directory
	rm -rf $(BUILD)

help:                                ## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | sort -u | \
	  while IFS="$$(printf '\t')" read -r t d; do printf '  %-16s %s\n' "$$t" "$$d"; done
	@echo "  variables: BUILD=dir CC=compiler SAN=address,undefined|thread ONLY=pattern TIME=s TARGET=name WHOLE=1 V=1"
	@echo "  one room:  make room-<name>, make unit-<name>"

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(CTRL_SRC) $(SUPPORT_SRC) $(UNIT_SRC) \
           $(HELPER_SRC) $(BENCH_SRC) $(EXAMPLE_SRC) $(wildcard tests/fuzz/*.c)))
