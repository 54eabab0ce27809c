/* SPDX-License-Identifier: Apache-2.0 */
/* Forced into every file of src/ but sys/path.c: who wants a path goes through
 * include/kapsel/sys.h. */
#ifndef KAPSEL_POISON_H
#define KAPSEL_POISON_H

/* First, or the macros would break them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define open(...)	use_a_path_function_of_sys_h
#define openat(...)	use_a_path_function_of_sys_h
#define creat(...)	use_a_path_function_of_sys_h
#define fopen(...)	use_a_path_function_of_sys_h
#define freopen(...)	use_a_path_function_of_sys_h
#define opendir(...)	use_a_path_function_of_sys_h
#define mkdir(...)	use_a_path_function_of_sys_h
#define mkdirat(...)	use_a_path_function_of_sys_h
#define mknod(...)	use_a_path_function_of_sys_h
#define mknodat(...)	use_a_path_function_of_sys_h
#define mkfifo(...)	use_a_path_function_of_sys_h
#define mkstemp(...)	use_a_path_function_of_sys_h
#define mkdtemp(...)	use_a_path_function_of_sys_h
#define link(...)	use_a_path_function_of_sys_h
#define linkat(...)	use_a_path_function_of_sys_h
#define symlink(...)	use_a_path_function_of_sys_h
#define symlinkat(...)	use_a_path_function_of_sys_h
#define unlink(...)	use_a_path_function_of_sys_h
#define unlinkat(...)	use_a_path_function_of_sys_h
#define rename(...)	use_a_path_function_of_sys_h
#define renameat(...)	use_a_path_function_of_sys_h
#define renameat2(...)	use_a_path_function_of_sys_h
#define rmdir(...)	use_a_path_function_of_sys_h
#define lstat(...)	use_a_path_function_of_sys_h
#define stat(...)	use_a_path_function_of_sys_h
#define fstatat(...)	use_a_path_function_of_sys_h
#define statfs(...)	use_a_path_function_of_sys_h
#define access(...)	use_a_path_function_of_sys_h
#define faccessat(...)	use_a_path_function_of_sys_h
#define chmod(...)	use_a_path_function_of_sys_h
#define fchmodat(...)	use_a_path_function_of_sys_h
#define chown(...)	use_a_path_function_of_sys_h
#define lchown(...)	use_a_path_function_of_sys_h
#define fchownat(...)	use_a_path_function_of_sys_h
#define truncate(...)	use_a_path_function_of_sys_h
#define remove(...)	use_a_path_function_of_sys_h
#define readlink(...)	use_a_path_function_of_sys_h
#define readlinkat(...) use_a_path_function_of_sys_h
#define realpath(...)	use_a_path_function_of_sys_h
#define mount(...)	use_a_path_function_of_sys_h
#define umount(...)	use_a_path_function_of_sys_h
#define umount2(...)	use_a_path_function_of_sys_h
#define chdir(...)	use_a_path_function_of_sys_h
#define chroot(...)	use_a_path_function_of_sys_h

#endif
