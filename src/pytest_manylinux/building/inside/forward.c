/* C99's scanf under the names of glibc before 2.7.
 *
 * Today's headers, and the streams of libc++, call __isoc99_sscanf and its kin, which glibc offers
 * since 2.7 only. Below that, these stand in: hidden, so that no file exports them, and weak, so
 * that a project's own definition wins. The old functions differ in one thing: they take "%as",
 * "%aS" and "%a[" for the GNU extension that allocates.
 */

typedef __builtin_va_list arguments;
typedef struct stream stream;
typedef __WCHAR_TYPE__ wide;

#define HIDDEN __attribute__((weak, visibility("hidden")))

/* SOURCE is the first parameter of the f and s forms; CHARACTER that of the format. */
#define FORWARD(NAME, CHARACTER, SOURCE)                                                           \
  extern int v##NAME(SOURCE *, const CHARACTER *, arguments);                                      \
  HIDDEN int __isoc99_v##NAME(SOURCE *source, const CHARACTER *format, arguments list) {           \
    return v##NAME(source, format, list);                                                          \
  }                                                                                                \
  HIDDEN int __isoc99_##NAME(SOURCE *source, const CHARACTER *format, ...) {                       \
    arguments list;                                                                                \
    __builtin_va_start(list, format);                                                              \
    int count = v##NAME(source, format, list);                                                     \
    __builtin_va_end(list);                                                                        \
    return count;                                                                                  \
  }

#define FORWARD_STANDARD_INPUT(NAME, CHARACTER)                                                    \
  extern int v##NAME(const CHARACTER *, arguments);                                                \
  HIDDEN int __isoc99_v##NAME(const CHARACTER *format, arguments list) {                           \
    return v##NAME(format, list);                                                                  \
  }                                                                                                \
  HIDDEN int __isoc99_##NAME(const CHARACTER *format, ...) {                                       \
    arguments list;                                                                                \
    __builtin_va_start(list, format);                                                              \
    int count = v##NAME(format, list);                                                             \
    __builtin_va_end(list);                                                                        \
    return count;                                                                                  \
  }

FORWARD(sscanf, char, const char)
FORWARD(fscanf, char, stream)
FORWARD(swscanf, wide, const wide)
FORWARD(fwscanf, wide, stream)
FORWARD_STANDARD_INPUT(scanf, char)
FORWARD_STANDARD_INPUT(wscanf, wide)
