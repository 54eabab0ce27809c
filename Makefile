# make | deps | demo | check | check-san | check-vm | check-compat | check-diff | coverage | lint | format | bench | fuzz | fields | install | clean
# with V=1 SAN=1 COV=1 CC= MUSL= DESTDIR= PREFIX= SYSCONFDIR=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
CFLAGS ?= -O2 -g
MUSL ?= $(if $(SAN)$(COV),,$(shell command -v musl-gcc))
B := build$(if $(SAN),/san)$(if $(COV),/cov)
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-4s %s\n' $1 $@)
warn = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
hard = $(if $(SAN),-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=undefined,-fstack-protector-strong)
flags = -std=gnu11 -D_GNU_SOURCE -Iinclude $(warn) $(hard) $(if $(COV),--coverage) \
	-ffile-prefix-map=$(CURDIR)=. -fPIE -ffunction-sections -fdata-sections \
	-DPREFIX='"$(PREFIX)"' $(CFLAGS)
glibc = $(if $(SAN)$(COV),,-D_FORTIFY_SOURCE=2)
musl = -idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -dumpmachine)
ROOMS := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard src/*/*.c)))))
PROGS := $(addprefix $(B)/bin/,$(foreach p,kapseld:daemon kapsel:cli kapsel-oci:oci kapsel-monitor:monitor,\
	$(if $(wildcard src/$(lastword $(subst :, ,$p))/main.c),$(firstword $(subst :, ,$p)))))
TESTS := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*/test_*.c))
HELPERS := $(patsubst tests/helpers/%.c,$(B)/helpers/%,$(wildcard tests/helpers/*.c))

comma := ,
# Two kinds of objects: o/ for the dynamic programs and the tests, s/ for the small static ones.
S := $(if $(MUSL),s,o)
lib = $(foreach r,$1,$(if $(filter $r,$(ROOMS)),$(B)/$2/$r.a))
define link
$(call say,LD)
$(Q)mkdir -p $(@D) && $1 $(flags) -Wl,-z,relro,-z,now,--gc-sections $(LDFLAGS) -o $@ \
	$(filter %/main.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $2
endef
# Debian's static libraries: musl-gcc does not look where they are.
a = $(shell $(CC) -print-file-name=$1)
dyn = $(call link,$(CC) -pie,$1)
# musl-gcc knows no -static-pie and links dynamically without a word: so by hand, as its crt wants.
crt = /usr/lib/$(shell $(CC) -dumpmachine | sed s/gnu$$/musl/)
musl_begin = $(MUSL) -static -nostartfiles -Wl,-pie,--no-dynamic-linker,-z,text \
	$(crt)/rcrt1.o $(crt)/crti.o $(call a,crtbeginS.o)
musl_end = $(call a,crtendS.o) $(crt)/crtn.o
static = $(call link,$(if $(MUSL),$(musl_begin),$(CC) $(if $(SAN)$(COV),-pie,-static-pie)),$1 $(if $(MUSL),$(musl_end)))

all: $(PROGS) $(HELPERS)
CORE := sys json base
$(B)/bin/kapseld: $(call lib,daemon api store supervise net cgroup log wire $(CORE),o)
	$(call dyn,-lyajl -lmnl -lm -lpthread)
$(B)/bin/kapsel: $(call lib,cli api log $(CORE) heap,$S)
	$(call static,$(if $(SAN)$(COV),-lyajl,$(call a,libyajl_s.a)))
$(B)/bin/kapsel-oci: $(call lib,oci container store plan seccomp cgroup systemd spec wire $(CORE) heap,$S)
	$(call static,$(if $(SAN)$(COV),-lyajl -lseccomp,$(call a,libyajl_s.a) $(if $(MUSL),-Wl$(comma)-u$(comma)__fprintf_chk )$(call a,libseccomp.a)) -lm)
$(B)/bin/kapsel-monitor: $(call lib,monitor log store supervise cgroup wire $(CORE),$S)
	$(call static,$(if $(SAN)$(COV),-lyajl,$(call a,libyajl_s.a)) -lm -lpthread)

$(foreach p,daemon:kapseld:o cli:kapsel:$S oci:kapsel-oci:$S monitor:kapsel-monitor:$S,$(eval \
	$(B)/bin/$(word 2,$(subst :, ,$p)): $(B)/$(word 3,$(subst :, ,$p))/$(word 1,$(subst :, ,$p))/main.o))
$(foreach k,o s,$(foreach r,$(ROOMS),$(eval $(B)/$k/$r.a: \
	$(patsubst src/%.c,$(B)/$k/%.o,$(filter-out %/main.c,$(wildcard src/$r/*.c))))))
$(B)/o/api/interface.o $(B)/s/api/interface.o: $(wildcard src/api/*.varlink)
%.a:
	$(Q)rm -f $@ && $(AR) rcs $@ $^
poison = $(if $(filter src/sys/path.c,$<),,$(if $(wildcard src/sys/poison.h),-include src/sys/poison.h))
$(B)/o/%.o: src/%.c $(B)/flags
	$(call say,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(flags) $(glibc) $(poison) -MMD -MP -c -o $@ $<
$(B)/s/%.o: src/%.c $(B)/flags
	$(call say,CC)
	$(Q)mkdir -p $(@D) && $(MUSL) $(flags) $(musl) $(poison) -MMD -MP -c -o $@ $<
$(B)/tests/unit/%: tests/unit/%.c $(call lib,$(ROOMS),o) $(B)/flags
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) $(flags) $(glibc) -Wno-unused-parameter -MMD -MP -MF $@.d -o $@ $< \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group -lcmocka -lyajl -lmnl -lseccomp -lcap -lm -lpthread
# What runs inside test containers is static and small.
$(B)/helpers/%: tests/helpers/%.c $(B)/flags
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(or $(MUSL),$(CC)) -std=gnu11 -D_GNU_SOURCE $(warn) $(if $(MUSL),$(musl)) -O2 -static -o $@ $<
$(B)/flags: FORCE
	@mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(CC) $(MUSL) $(flags) $(glibc))' >$@.new
	@cmp -s $@.new $@ || mv $@.new $@; rm -f $@.new

tests: $(TESTS)
deps: ; $(Q)tests/tools/deps
need-deps: ; $(Q)tests/tools/deps --if-missing
demo: need-deps ; $(Q)$(MAKE) --no-print-directory all && tests/demo/run $(abspath $(B)/bin)
check: need-deps ; $(Q)$(MAKE) --no-print-directory all tests && tests/run $(B)
check-san: need-deps
	$(Q)$(MAKE) --no-print-directory SAN=1 CFLAGS='-O1 -g' tests build/san/bin/kapsel-monitor
	$(Q)tests/run build/san $$(find build/san/tests/unit -type f -executable -name 'test_*')
check-diff: need-deps ; $(Q)$(MAKE) --no-print-directory all && SLOW=3 tests/run $(B) tests/compat/diff/run.sh
check-compat: need-deps ; $(Q)$(MAKE) --no-print-directory all && tests/compat/run
coverage: need-deps ; $(Q)tests/tools/coverage
check-vm: need-deps ; $(Q)$(MAKE) --no-print-directory all $(B)/tests/unit/cgroup/test_live && tests/run-vm $(B)
lint: need-deps ; $(Q)$(MAKE) --no-print-directory all && tests/lint/run $(B)
bench: need-deps ; $(Q)$(MAKE) --no-print-directory all && tests/bench/run $(B)
fuzz: need-deps ; $(Q)tests/fuzz/run
fields: all ; $(Q)tests/tools/fields $(B)
format: ; $(Q)find src include tests -name '*.[ch]' -exec clang-format -i {} +
install: all
	install -Dm755 -t $(DESTDIR)$(PREFIX)/bin $(B)/bin/kapsel $(B)/bin/kapsel-oci
	install -Dm755 -t $(DESTDIR)$(PREFIX)/sbin $(B)/bin/kapseld
	install -Dm755 -t $(DESTDIR)$(PREFIX)/libexec/kapsel $(B)/bin/kapsel-monitor
	install -Dm644 docs/examples/containers.conf.d-kapsel.conf $(DESTDIR)$(SYSCONFDIR)/containers/containers.conf.d/50-kapsel.conf
	for s in 1 5 7 8; do install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man$$s docs/man/*.$$s; done
clean: ; $(Q)rm -rf build
.PHONY: all tests deps need-deps demo check check-san check-vm check-compat check-diff coverage lint bench fuzz fields format install clean FORCE
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
