/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka wants these before it, in this order. */
#ifndef KAPSEL_TEST_H
#define KAPSEL_TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <kapsel/base.h>

#endif
