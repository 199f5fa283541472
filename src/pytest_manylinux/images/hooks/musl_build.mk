# Build CPython, and the libraries that its standard library wants, for musl: `make -j N`, called by
# musl_build.sh, which sets CC, CFLAGS and the variables below. Sources lie in $(WORK), one folder each.
#
# WORK, PYTHON (3.13), TRIPLET (x86_64-linux-musl), MACHINE (x86_64), DEPS (prefix of the libraries).
# All of it shares one pool of jobs: what configures, on one core, has something beside it that compiles.

.ONESHELL:
.SHELLFLAGS := -euc
SHELL := /bin/sh
LIBRARIES := sqlite3 libffi xz-utils zlib bzip2 openssl
BUILT := $(LIBRARIES:%=$(DEPS)/built/%)
export CC CFLAGS LDFLAGS AR RANLIB PKG_CONFIG

say = echo "I: building $(1) for musl"; cd "$(WORK)/$(1)"
autoconf = [ -e configure ] || autoreconf --install; \
    ./configure --host="$(TRIPLET)" --prefix="$(DEPS)" --disable-shared --enable-static
# Of these no trial's time depends: they are compiled in less time than -O2 takes.
quickly = $(CFLAGS) -O1

libraries: $(BUILT)
.PHONY: libraries

# The order is that of starting: those with most to compile first.
$(DEPS)/built/openssl: $(DEPS)/built/openssl-headers
	cd "$(WORK)/openssl"
	$(MAKE) build_libs
	mv libssl.a libcrypto.a "$(DEPS)/lib"
	touch "$@"

# Without what CPython's ssl and hashlib do not ask for: half of the work.
without := shared tests apps docs engine dso legacy quic aria camellia cast cmp cms ct dsa ec2m gost idea \
    md4 mdc2 ml-dsa ml-kem slh-dsa rc2 rc4 rmd160 seed siphash sm2 sm3 sm4 srp ts whirlpool dtls comp
$(DEPS)/built/openssl-headers:
	$(call say,openssl)
	CFLAGS="$(quickly)" ./Configure "linux-$(MACHINE)" --prefix="$(DEPS)" --libdir=lib \
	    --openssldir=/etc/ssl $(without:%=no-%)
	$(MAKE) build_generated
	cp -r include/openssl "$(DEPS)/include"
	touch "$@"

$(DEPS)/built/sqlite3:
	$(call say,sqlite3)
	./configure --host="$(TRIPLET)" --disable-shared --disable-tcl --disable-readline
	$(MAKE) sqlite3.c
	$(CC) $(quickly) -DSQLITE_ENABLE_FTS5 -c sqlite3.c
	ar rcs "$(DEPS)/lib/libsqlite3.a" sqlite3.o
	cp sqlite3.h "$(DEPS)/include"
	touch "$@"

$(DEPS)/built/libffi:
	$(call say,libffi)
	$(autoconf) --disable-docs --disable-multi-os-directory
	$(MAKE) install
	touch "$@"

$(DEPS)/built/xz-utils:
	$(call say,xz-utils)
	CFLAGS="$(quickly)" $(autoconf) --disable-xz --disable-xzdec --disable-lzmadec --disable-lzmainfo \
	    --disable-scripts --disable-doc --disable-nls
	$(MAKE) install
	touch "$@"

# The shared library is for wheels: the one that musllinux policies let come from the system.
$(DEPS)/built/zlib:
	$(call say,zlib)
	CFLAGS="$(CFLAGS) -O3" ./configure --prefix="$(DEPS)"
	$(MAKE) libz.a
	$(MAKE) install
	mkdir -p "$(DEPS)/shared"
	mv "$(DEPS)"/lib/libz.so* "$(DEPS)/shared"
	touch "$@"

$(DEPS)/built/bzip2:
	$(call say,bzip2)
	$(MAKE) CC="$(CC)" CFLAGS="$(quickly) -D_FILE_OFFSET_BITS=64" libbz2.a
	cp bzlib.h "$(DEPS)/include"
	cp libbz2.a "$(DEPS)/lib"
	touch "$@"

# CPython, twice but for its extension modules: what runs while it is trained tells the compiler what to
# optimise. Without a profile a trial takes about a fifth longer.

SOURCE := $(WORK)/python$(PYTHON)
# The interpreter is linked at a fixed place, as Debian's; what is in modules gets -fPIC from CPython.
cpython = $(MAKE) -C "$(SOURCE)" CFLAGS= LDFLAGS= LINKCC="$(CC) -no-pie" LDFLAGS_NODIST="$(linked)"
# What was made once needs no second making by an interpreter with a profile.
again = $(cpython) -o Programs/_freeze_module -o _bootstrap_python -o Programs/_testembed \
    -o pybuilddir.txt
# OpenSSL's libraries need not be there yet: two answers are known, and a third is had from stand-ins.
$(WORK)/done-configure: $(filter-out %/openssl,$(BUILT)) $(DEPS)/built/openssl-headers
	$(call say,python$(PYTHON))
	stand_in="$(WORK)/stand-in"
	mkdir -p "$$stand_in"
	echo 'void SSL_new(void) {}' | $(CC) -x c -c -o "$$stand_in/ssl.o" -
	ar rcs "$$stand_in/libssl.a" "$$stand_in/ssl.o"
	ar rcs "$$stand_in/libcrypto.a"
	export LIBFFI_CFLAGS="-I$(DEPS)/include" LIBFFI_LIBS=-lffi LIBSQLITE3_CFLAGS="-I$(DEPS)/include" \
	    LIBSQLITE3_LIBS=-lsqlite3 BZIP2_LIBS=-lbz2 LIBLZMA_LIBS=-llzma ZLIB_LIBS=-lz
	export ac_cv_working_openssl_ssl=yes ac_cv_working_openssl_hashlib=yes
	./configure --prefix=/usr --with-openssl="$(DEPS)" --disable-test-modules \
	    --without-static-libpython CFLAGS="$(filter-out -fPIC,$(CFLAGS))" \
	    LDFLAGS="$(LDFLAGS) -L$$stand_in" CFLAGS_NODIST=-fno-pie OPT=-DNDEBUG
	touch "$@"

# The compiler's library for profiles asks glibc for one function by a name that musl has not.
gcov := $(WORK)/gcov.o
$(WORK)/done-instrumented: private linked = -fprofile-generate $(gcov)
$(WORK)/done-instrumented: $(WORK)/done-configure
	echo "I: building python$(PYTHON) for its profile"
	echo 'long strtol(); long __isoc23_strtol(const char *s, char **e, int b) { return strtol(s, e, b); }' | \
	    $(CC) -w -x c -c -o "$(gcov)" -
	$(cpython) CFLAGS_NODIST=-fprofile-generate python
	find "$(SOURCE)" -name '*.gcda' -delete
	touch "$@"

$(WORK)/done-modules: $(WORK)/done-instrumented $(DEPS)/built/openssl
	$(cpython) sharedmods
	touch "$@"

$(WORK)/done-training: $(WORK)/done-modules
	echo "I: building a profile of python$(PYTHON)"
	cd "$(SOURCE)"
	PYTHONHASHSEED=0 ./python -X utf8 "$(WORK)/training.py"
	touch "$@"

$(WORK)/done-python: private linked = -fprofile-use -Wno-missing-profile -flto=auto
$(WORK)/done-python: $(WORK)/done-training
	echo "I: building python$(PYTHON) by its profile"
	cd "$(SOURCE)"
	rm -f python $$(printf 'core:\n\t@echo $$(LIBRARY_OBJS) $$(MODOBJS)\n' | $(MAKE) -s -f Makefile -f - core) \
	    Programs/python.o
	$(again) CFLAGS_NODIST="-fprofile-use -Wno-missing-profile -flto" python
	touch "$@"

library := $(ROOT)/usr/lib/python$(PYTHON)
# Only a preloaded process loads it (trials/inside/c_library.py), by its path: no wheel finds it.
mimalloc := -O2 -DNDEBUG -fPIC -shared -fno-builtin -ftls-model=initial-exec -DMI_LIBC_MUSL \
    -DMI_MALLOC_OVERRIDE -DMI_SHARED_LIB -DMI_SHARED_LIB_EXPORT -I$(SOURCE)/Objects/mimalloc \
    -I$(SOURCE)/Include/internal/mimalloc -I$(SOURCE)/Include/internal -I$(SOURCE)/Include
# `true` in place of Python, which would compile all modules three times; once is done here.
install: $(WORK)/done-python
	$(again) altinstall DESTDIR="$(ROOT)" PYTHON_FOR_BUILD=true
	cd "$(SOURCE)"
	./python -m ensurepip --altinstall --root="$(ROOT)"
	mkdir -p "$(ROOT)/usr/libexec"
	$(CC) $(mimalloc) -o "$(ROOT)/usr/libexec/pytest-manylinux-malloc.so" "$(WORK)/allocator.c" || \
	    echo "W: this CPython's mimalloc is not the one that is known: trials are a tenth slower"
	rm -rf "$(library)"/config-* "$(library)/idlelib" "$(library)/tkinter" "$(library)/turtledemo" \
	    "$(library)/turtle.py" "$(library)/test" "$(library)/pydoc_data" "$(ROOT)/usr/share"
	./python -m compileall -q -j 0 -s "$(ROOT)" -p / "$(library)"
.PHONY: install
